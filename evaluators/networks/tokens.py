"""open_clip's own tokens of captions, which its published models and the embedded one read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor

VOCABULARY = 49_408  # tokens that there are


def bpe(captions: Sequence[str], length: int) -> Tensor:
    """(N, length) int64: start, byte pairs, end of text, zeros; longer captions are cut before their end."""
    tokens: Tensor = _tokenizer()(list(captions), context_length=length)
    return tokens


@cache
def _tokenizer() -> Any:
    """Made once: it takes a tenth of a second, as long as all else of a small score."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()

"""Captions to text features (B, L, W): a small encoder trained along, or a frozen CLIP text tower.

Neither shares weights with the CLIP of the evaluators, which must not judge what it taught.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from space.shared.plain import InputError, nearest
from training.data.captions import words
from training.pretrained import load_clip_text

# Scale of the features at the start. With 1, attention over the words starts uniform and a word moves the
# images by a few hundredths; 300 steps then teach the background alone; with 8, size and place too.
FEATURE_SCALE = 8.0
TEXT_HEADS = "text.heads"  # of a state's identity
PADDING, START_TOKEN, UNKNOWN_TOKEN = (
    0,
    1,
    2,
)  # the first tokens of the vocabulary; an empty caption is START alone


@dataclass(frozen=True)
class TextSettings:
    """Which text encoder; length and width follow the architecture's context."""

    encoder: Literal["small", "clip"] = "small"
    layers: int = 2  # of the small one
    heads: int = 4
    folder: str | None = None  # of clip: a transformers CLIP text model with its tokenizer, or its address

    def __post_init__(self) -> None:
        if self.layers < 0 or self.heads < 1:
            raise InputError(f"layers: {self.layers}, heads: {self.heads}; allowed: 0 or more, 1 or more")
        if self.encoder == "clip" and not self.folder:
            raise InputError("folder: missing; the encoder 'clip' needs the folder of a CLIP text model")


class Tokens(NamedTuple):
    """Captions as an encoder reads them."""

    ids: Tensor  # (U, length)
    rows: Tensor | None = None  # (B,), the row of `ids` that each caption is; None: each has its own

    def to(self, device: torch.device) -> Tokens:
        return Tokens(self.ids.to(device), None if self.rows is None else self.rows.to(device))


class TextEncoder(nn.Module, ABC):
    """Tokens of captions to features (B, length, width); "" is the unconditional caption.

    A `frozen` encoder is neither trained, nor averaged, nor saved.
    """

    length: int
    width: int
    frozen: bool = False
    unknown_token: int  # for whatever it has no token of its own

    @abstractmethod
    def tokenize(self, captions: list[str]) -> Tokens:
        """On the CPU; reads no weights."""

    @abstractmethod
    def too_long(self, captions: Sequence[str]) -> int:
        """How many of the captions have more tokens than `length`, and are cut."""

    def unknown_words(self, captions: Sequence[str]) -> list[str]:
        """Words that all are one to it, sorted."""
        return []

    @property
    @abstractmethod
    def would_tell_apart(self) -> str:
        """What would, in words: for captions that this encoder takes for the same."""

    def encode(self, captions: list[str]) -> Tensor:
        """Features of captions, (B, length, width)."""
        features: Tensor = self(self.tokenize(captions).to(next(self.parameters()).device))
        return features


class SmallTextEncoder(TextEncoder):
    """Word embeddings, learned positions and a few transformer layers, trained with the UNet."""

    unknown_token = UNKNOWN_TOKEN

    def __init__(self, vocabulary: list[str], length: int, width: int, *, layers: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"text.heads: {heads} does not divide the context width {width}")
        self.length, self.width, self.heads = length, width, heads
        self.vocabulary = {word: index for index, word in enumerate(vocabulary, start=UNKNOWN_TOKEN + 1)}
        self.words = nn.Embedding(UNKNOWN_TOKEN + 1 + len(vocabulary), width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.5)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False) if layers else None
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, FEATURE_SCALE)

    def tokenize(self, captions: list[str]) -> Tokens:
        unique = sorted(set(captions))
        row = {caption: index for index, caption in enumerate(unique)}
        return Tokens(
            torch.tensor([self._ids(caption) for caption in unique]),
            torch.tensor([row[caption] for caption in captions]),
        )

    def too_long(self, captions: Sequence[str]) -> int:
        return sum(1 + len(words(caption)) > self.length for caption in captions)

    def unknown_words(self, captions: Sequence[str]) -> list[str]:
        every = {word for caption in set(captions) for word in words(caption)}
        return sorted(every - self.vocabulary.keys())

    @property
    def would_tell_apart(self) -> str:
        return f"a context_length above {self.length}, of which the start takes one and each word one"

    def forward(self, tokens: Tokens) -> Tensor:
        x = self.words(tokens.ids) + self.positions
        if self.layers is not None:
            x = self.layers(x, src_key_padding_mask=tokens.ids == PADDING)
        x = self.norm(x)
        return x if tokens.rows is None else x[tokens.rows]

    def _ids(self, caption: str) -> list[int]:
        known = [self.vocabulary.get(word, UNKNOWN_TOKEN) for word in words(caption)]
        tokens = [START_TOKEN, *known][: self.length]
        return tokens + [PADDING] * (self.length - len(tokens))


class ClipTextEncoder(TextEncoder):
    """The frozen text tower of a CLIP, from a transformers folder: (B, 77, 768) for ViT-L/14."""

    frozen = True

    def __init__(self, folder: str, length: int, width: int, is_read: bool = True) -> None:
        super().__init__()
        model, self.tokenizer = load_clip_text(folder, "text.folder")
        self._folder, unknown = folder, self.tokenizer.unk_token_id
        self.unknown_token = -1 if unknown is None else unknown
        self.length, self.width = model.config.max_position_embeddings, model.config.hidden_size
        if is_read and (self.length, self.width) != (length, width):
            raise InputError(
                f"text.folder: {folder!r} gives {self.length} x {self.width} features, but the architecture "
                f"reads context_length x context_width = {length} x {width}; needed, there or in the proxy: "
                f"context_length={self.length} context_width={self.width}"
            )
        self.tower = model.eval().requires_grad_(False)

    def tokenize(self, captions: list[str]) -> Tokens:
        tokens = self.tokenizer(
            captions, padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        return Tokens(tokens.input_ids)

    def too_long(self, captions: Sequence[str]) -> int:
        return sum(len(ids) > self.length for ids in self.tokenizer(list(captions), verbose=False).input_ids)

    @property
    def would_tell_apart(self) -> str:
        return f"another text.folder than {self._folder!r}, or shorter captions"

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tensor:
        features: Tensor = self.tower(tokens.ids).last_hidden_state
        return features

    def train(self, mode: bool = True) -> ClipTextEncoder:
        return self  # frozen: never leaves evaluation


def make_text_encoder(
    settings: TextSettings, vocabulary: list[str], length: int, width: int, is_read: bool = True
) -> TextEncoder:
    """For an architecture whose context is `length` x `width`; one that reads no text takes any.

    Raises:
        InputError: it does not fit the architecture's context, or is none that there is.
    """
    if settings.encoder == "small":
        return SmallTextEncoder(vocabulary, length, width, layers=settings.layers, heads=settings.heads)
    if settings.encoder == "clip":
        assert settings.folder is not None
        return ClipTextEncoder(settings.folder, length, width, is_read)
    choices = ("small", "clip")
    raise InputError(f"text.encoder: {settings.encoder!r} is none; {nearest(settings.encoder, choices)}")

"""Captions to text features (B, L, W): a small encoder trained along, or a frozen CLIP text tower.

Neither shares weights with the CLIP of the evaluators, which must not judge what it taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from space.shared.plain import InputError, nearest
from training.data.captions import words

# Scale of the features at the start. With 1, attention over the words starts uniform and a word moves the
# images by a few hundredths; 300 steps then teach the background alone; with 8, size and place too.
FEATURE_SCALE = 8.0
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
    folder: str | None = None  # of clip: a transformers CLIP text model with its tokenizer

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


class TextEncoder(nn.Module):
    """Tokens of captions to features (B, length, width); "" is the unconditional caption.

    A `frozen` encoder is neither trained, nor averaged, nor saved.
    """

    length: int
    width: int
    frozen: bool = False

    def tokenize(self, captions: list[str]) -> Tokens:
        """On the CPU; reads no weights."""
        raise NotImplementedError

    def encode(self, captions: list[str]) -> Tensor:
        """Features of captions, (B, length, width)."""
        features: Tensor = self(self.tokenize(captions).to(next(self.parameters()).device))
        return features


class SmallTextEncoder(TextEncoder):
    """Word embeddings, learned positions and a few transformer layers, trained with the UNet."""

    def __init__(self, vocabulary: list[str], length: int, width: int, *, layers: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"text.heads: {heads} does not divide the context width {width}")
        self.length, self.width = length, width
        self._tokens = {word: index for index, word in enumerate(vocabulary, start=UNKNOWN_TOKEN + 1)}
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

    def forward(self, tokens: Tokens) -> Tensor:
        x = self.words(tokens.ids) + self.positions
        if self.layers is not None:
            x = self.layers(x, src_key_padding_mask=tokens.ids == PADDING)
        x = self.norm(x)
        return x if tokens.rows is None else x[tokens.rows]

    def _ids(self, caption: str) -> list[int]:
        known = [self._tokens.get(word, UNKNOWN_TOKEN) for word in words(caption)]
        tokens = [START_TOKEN, *known][: self.length]
        return tokens + [PADDING] * (self.length - len(tokens))


class ClipTextEncoder(TextEncoder):
    """The frozen text tower of a CLIP, from a local transformers folder: (B, 77, 768) for ViT-L/14."""

    frozen = True

    def __init__(self, folder: str, length: int, width: int) -> None:
        super().__init__()
        if not (Path(folder) / "config.json").is_file():
            raise InputError(f"text.folder: {folder!r} holds no config.json of a CLIP text model")
        from transformers import CLIPTextModel, CLIPTokenizer

        try:
            model = CLIPTextModel.from_pretrained(folder, local_files_only=True)
            self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"text.folder: {folder!r} does not load as a CLIP text model: {error}") from None
        config = model.config
        if (config.max_position_embeddings, config.hidden_size) != (length, width):
            raise InputError(
                f"text.folder: {folder!r} gives {config.max_position_embeddings} x {config.hidden_size} "
                f"features, but the architecture reads context_length x context_width = {length} x {width}"
            )
        self.length, self.width = length, width
        self.tower = model.eval().requires_grad_(False)

    def tokenize(self, captions: list[str]) -> Tokens:
        tokens = self._tokenizer(
            captions, padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        return Tokens(tokens.input_ids)

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tensor:
        features: Tensor = self.tower(tokens.ids).last_hidden_state
        return features

    def train(self, mode: bool = True) -> ClipTextEncoder:
        return self  # frozen: never leaves evaluation


def make_text_encoder(settings: TextSettings, vocabulary: list[str], length: int, width: int) -> TextEncoder:
    """Raises InputError where it does not fit the architecture's context, or is none that there is."""
    if settings.encoder == "small":
        return SmallTextEncoder(vocabulary, length, width, layers=settings.layers, heads=settings.heads)
    if settings.encoder == "clip":
        assert settings.folder is not None
        return ClipTextEncoder(settings.folder, length, width)
    choices = ("small", "clip")
    raise InputError(f"text.encoder: {settings.encoder!r} is none; {nearest(settings.encoder, choices)}")

"""What the embedded CLIP is built of: its settings, its vocabulary, and the model in open_clip's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.networks.efficientnet import LEAST_PX
from evaluators.networks.tokens import bpe
from space.shared.plain import InputError


@dataclass(frozen=True)
class EmbeddedSettings:
    """The small CLIP and its training: about 20 s on one core as it stands."""

    steps: int = 420
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    word_loss_weight: float = 1.0  # of naming the caption's words from the image features; 0 for none
    first_logit_scale: float = 5.0  # CLIP's own, 14, learns the last attribute of a scene far later
    train_images: int = 8192  # at most, chosen once from the training split
    embedding_width: int = 64
    text_width: int = 48
    text_heads: int = 2
    text_layers: int = 2
    context_length: int = 77  # tokens at most; the longest training caption where that is shorter
    efficientnet_px: int | None = None  # images are seen through EfficientNet-Lite0, brought to this side
    seed: int = 0

    def __post_init__(self) -> None:
        if self.efficientnet_px is not None and self.efficientnet_px < LEAST_PX:
            raise InputError(
                f"efficientnet_px: {self.efficientnet_px} is not possible; allowed: {LEAST_PX} or more, null"
            )
        for name in ("steps", "train_images", "embedding_width", "text_width", "text_heads", "text_layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        for name, least in (("batch_size", 2), ("context_length", 3), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: {least} or more")
        for name in ("learning_rate", "first_logit_scale"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: more than 0")
        if self.word_loss_weight < 0:
            raise InputError(f"word_loss_weight: {self.word_loss_weight} is not possible; allowed: 0 or more")
        if self.text_width % self.text_heads:
            raise InputError(
                f"text_width: {self.text_width} does not divide into text_heads = {self.text_heads}; "
                f"nearest: {max(1, round(self.text_width / self.text_heads)) * self.text_heads}"
            )


class Vocabulary:
    """open_clip's BPE tokens, renumbered to those that the training captions use.

    Of 49,408 tokens a caption set needs a few dozen; the order stays, so the end of text is still the
    highest number, which is where open_clip's text tower reads its answer. 0 fills up, 1 is any other token.
    """

    def __init__(self, known: Sequence[int], context_length: int) -> None:
        self.known, self.context_length = tuple(known), context_length
        self._number = {token: index + 2 for index, token in enumerate(self.known)} | {0: 0}

    @classmethod
    def of(cls, captions: Sequence[str], longest: int) -> Vocabulary:
        tokens = bpe(captions, longest)
        length = int((tokens != 0).sum(dim=1).max())
        return cls(sorted(set(tokens.flatten().tolist()) - {0}), length)

    @property
    def size(self) -> int:
        return len(self.known) + 2

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """(N, context_length) int64; longer captions are cut, their end of text kept."""
        rows = bpe(captions, self.context_length).tolist()
        return torch.tensor([[self._number.get(token, 1) for token in row] for row in rows])


def model_config(settings: EmbeddedSettings, vocabulary: Vocabulary, image_size_px: int) -> dict[str, Any]:
    """The model in open_clip's own words (its JSON `model_cfg`)."""
    from evaluators.networks import conv_tower, feature_tower

    tower = conv_tower.NAME if settings.efficientnet_px is None else feature_tower.OVER_FEATURES
    return {
        "embed_dim": settings.embedding_width,
        "init_logit_scale": math.log(settings.first_logit_scale),
        "vision_cfg": {
            "timm_model_name": tower,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": image_size_px,
        },
        "text_cfg": {
            "context_length": vocabulary.context_length,
            "vocab_size": vocabulary.size,
            "width": settings.text_width,
            "heads": settings.text_heads,
            "layers": settings.text_layers,
        },
    }


def build_embedded(config: dict[str, Any]) -> nn.Module:
    """An open_clip model of this configuration, with weights from torch's current random state."""
    import open_clip

    from evaluators.networks import conv_tower, feature_tower  # noqa: F401  (registers the image towers)

    model = open_clip.CLIP(**config)
    model.visual.to(memory_format=torch.channels_last)
    return model

"""The embedded CLIP: a small open_clip model, trained once on the training split, kept by content.

That of the default data comes along (`SHIPPED`): processors round differently, and a model trained anew on
another one would be another ruler, by which runs of two machines do not compare.

Its scores are named for it and never pass for those of CLIP ViT-B/32 or Inception: they compare candidates
of one data set with each other, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.metrics.clip_score import check_pairs, cosines
from evaluators.networks.features import CHUNK, in_chunks, weights_digest
from evaluators.networks.tokens import bpe
from space.shared.plain import InputError, to_plain

FORMAT = 1  # of the cached files and of the training; raised when an old file would no longer be the same
WEIGHTS, CONFIG, ABOUT = "open_clip_model.safetensors", "open_clip_config.json", "embedded_clip.json"
SHIPPED = Path(__file__).parent / "shipped"  # laid out as a cache folder; docs/evaluators.md: how it is made
LEAST_ABOVE_CHANCE = 3.0  # retrieval under so many times chance makes a ruler that is not worth using

Draw = Callable[[Sequence[int]], tuple[np.ndarray, Sequence[str]]]
"""Indices to images (B, H, W, 3) uint8 and their captions."""


@dataclass(frozen=True)
class EmbeddedSettings:
    """The small CLIP and its training: about 20 s on one core as it stands."""

    steps: int = 420
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    word_loss_weight: float = 1.0  # of naming the caption's words from the image features; 0 for none
    first_logit_scale: float = 5.0  # CLIP's own, 14, learns the last attribute of a scene far later
    train_images: int = 8192  # at most, drawn once from the training split
    embedding_width: int = 64
    text_width: int = 48
    text_heads: int = 2
    text_layers: int = 2
    context_length: int = 77  # tokens at most; the longest training caption where that is shorter
    seed: int = 0

    def __post_init__(self) -> None:
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


class EmbeddedClip:
    """Image features (the layer before the projection) and similarities of images and captions.

    Attributes:
        digest: of the weights.
        width: of the image features.
        retrieval_accuracy: share of held-out images whose own caption is the nearest of all captions there.
    """

    name = "embedded-clip"
    preparation = "as it is, to [-1, 1]"

    def __init__(self, model: nn.Module, vocabulary: Vocabulary, about: dict[str, Any]) -> None:
        self._model, self._vocabulary, self.about = model.eval(), vocabulary, about
        self.digest = weights_digest(model.state_dict())
        self.width = int(model.visual.trunk.num_features)  # type: ignore[union-attr, arg-type]
        self.retrieval_accuracy = float(about.get("retrieval_accuracy", float("nan")))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) uint8 to (N, width) float64: the penultimate features."""
        return in_chunks(self._model.visual.trunk, images)  # type: ignore[union-attr, arg-type]

    image_features = __call__

    def text_similarity(self, images: np.ndarray, captions: Sequence[str]) -> np.ndarray:
        """(N, H, W, 3) uint8 and N captions to (N,) float64 cosines."""
        check_pairs(images, captions)
        return self.similarity(self(images), captions)

    def similarity(self, features: np.ndarray, captions: Sequence[str]) -> np.ndarray:
        """As `text_similarity`, from image features that are there already."""
        return cosines(*self._pairs(features, captions))

    def embeddings(self, images: np.ndarray, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N, embedding_width) float64 of length 1: of N images, and of their captions."""
        check_pairs(images, captions)
        return self._pairs(self(images), captions)

    def _pairs(self, features: np.ndarray, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        distinct = sorted(set(captions))
        row = {caption: index for index, caption in enumerate(distinct)}
        texts = self.text_embeddings(distinct)[[row[caption] for caption in captions]]
        return self.image_embeddings(features), texts

    def image_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(N, width) features to (N, embedding_width) float64 of length 1."""
        with torch.inference_mode():
            projected = self._model.visual.head(torch.from_numpy(features).float())  # type: ignore[union-attr, operator]
            return F.normalize(projected.double(), dim=-1).numpy()

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """(N, embedding_width) float64 of length 1, in batches of one size, as images are."""
        tokens = self._vocabulary(captions)
        outputs = []
        with torch.inference_mode():
            for start in range(0, len(tokens), CHUNK):
                chunk = tokens[start : start + CHUNK]
                padded = torch.zeros((CHUNK, tokens.shape[1]), dtype=tokens.dtype)
                padded[: len(chunk)] = chunk
                embedded = self._model.encode_text(padded)[: len(chunk)].double()  # type: ignore[operator]
                outputs.append(F.normalize(embedded, dim=-1))
        return torch.cat(outputs).numpy()

    def too_long(self, captions: Sequence[str]) -> int:
        """How many of the captions have more tokens than the text tower takes."""
        return int((bpe(captions, self._vocabulary.context_length + 1)[:, -1] != 0).sum())

    def retrieve(self, images: np.ndarray, captions: Sequence[str]) -> float:
        """Top-1: the share of images whose own caption is the nearest among the distinct captions."""
        distinct = sorted(set(captions))
        nearest = (self.image_embeddings(self(images)) @ self.text_embeddings(distinct).T).argmax(axis=1)
        return float(np.mean([distinct[index] == own for index, own in zip(nearest, captions, strict=True)]))

    @property
    def doubt(self) -> str | None:
        """Why its scores mean little, in words for whoever reads them; None where they mean something."""
        captions, accuracy = self.about.get("retrieval_captions", 1), self.retrieval_accuracy
        if captions < 2 or accuracy >= min(LEAST_ABOVE_CHANCE / captions, 0.5 + 0.5 / captions):
            return None
        return (
            f"the embedded CLIP finds the right one of {captions} held-out captions for {accuracy:.1%} of "
            f"the pictures, and chance finds {1 / captions:.1%}: its scores mean little on these data. It "
            "may need longer training: evaluators.clip.steps"
        )

    def save(self, folder: Path) -> None:
        """In the layout that open_clip reads as `local-dir:`, with what else is known beside it."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: item.contiguous() for name, item in self._model.state_dict().items()}, folder / WEIGHTS
        )
        (folder / CONFIG).write_text(json.dumps({"model_cfg": self.about["model_cfg"]}, indent=1))
        (folder / ABOUT).write_text(json.dumps(self.about | {"digest": self.digest}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> EmbeddedClip:
        """Raises InputError where the folder is not one that `save` wrote, or was damaged since."""
        import open_clip

        try:
            about = json.loads((folder / ABOUT).read_text())
            vocabulary = Vocabulary(about["vocabulary"], about["model_cfg"]["text_cfg"]["context_length"])
            with torch.random.fork_rng(devices=[]):  # loading must not move the caller's random state
                model = build(about["model_cfg"])
            open_clip.load_checkpoint(model, str(folder / WEIGHTS))
        except (
            Exception
        ) as error:  # what safetensors, json and torch raise on damaged files is not one family
            raise InputError(f"{folder}: cannot be read as an embedded CLIP: {error}") from error
        clip = cls(model, vocabulary, about)
        if clip.digest != about["digest"]:
            raise InputError(
                f"{folder}: weights of digest {clip.digest}, not {about['digest']}; delete the folder"
            )
        return clip


def model_config(settings: EmbeddedSettings, vocabulary: Vocabulary, image_size_px: int) -> dict[str, Any]:
    """The model in open_clip's own words (its JSON `model_cfg`)."""
    from evaluators.networks.conv_tower import NAME

    return {
        "embed_dim": settings.embedding_width,
        "init_logit_scale": math.log(settings.first_logit_scale),
        "vision_cfg": {
            "timm_model_name": NAME,
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


def build(config: dict[str, Any]) -> nn.Module:
    """An open_clip model of this configuration, with weights from torch's current random state."""
    import open_clip

    from evaluators.networks import conv_tower  # noqa: F401  (registers the image tower)

    model = open_clip.CLIP(**config)
    model.visual.to(memory_format=torch.channels_last)
    return model


def embedded_clip(
    train: Draw,
    count: int,
    held_out_images: np.ndarray,
    held_out_captions: Sequence[str],
    data_digest: str,
    settings: EmbeddedSettings,
    cache_folder: Path,
    on_step: Callable[[int, int, float], None] | None = None,
) -> EmbeddedClip:
    """The small CLIP of these data and settings: shipped, from the cache folder, or trained and left there.

    Args:
        train: draws from the training split, which has `count` pictures.
        held_out_images: (N, H, W, 3) uint8, with one caption each, never trained on: for the accuracy.
        data_digest: of pictures and captions; with the settings and open_clip's version it is the key.
        on_step: told the step, the steps in all, and the loss.

    Two processes at once may both train; whichever finishes first is kept, and both return that one.
    """
    size = held_out_images.shape[1]
    stamp = [FORMAT, data_digest, count, size, to_plain(settings), version("open_clip_torch")]
    key = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()[:16]
    name = f"embedded-clip-{key}"
    folder = (SHIPPED if (SHIPPED / name).is_dir() else cache_folder) / name
    if not (folder / ABOUT).is_file():
        from evaluators.networks.embedded_training import train_clip

        model, vocabulary = train_clip(train, count, size, settings, on_step)
        about = {"model_cfg": model_config(settings, vocabulary, size), "vocabulary": vocabulary.known}
        clip = EmbeddedClip(model, vocabulary, about)
        clip.about["retrieval_accuracy"] = clip.retrieve(held_out_images, held_out_captions)
        clip.about |= {"data_digest": data_digest, "settings": to_plain(settings), "open_clip": stamp[-1]}
        _publish(clip, folder)
    clip = EmbeddedClip.load(folder)
    clip.about.setdefault("retrieval_captions", len(set(held_out_captions)))
    return clip


def _publish(clip: EmbeddedClip, folder: Path) -> None:
    """Write beside, then rename: the folder is there whole or not at all."""
    own = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    clip.save(own)
    try:
        os.rename(own, folder)
    except OSError:  # another process was first, and a folder with files in it is not replaced
        shutil.rmtree(own)
        if not (folder / ABOUT).is_file():
            raise

"""A search's evaluator without downloads: scores by what it trains on its own data, and their protocol.

A score means nothing without its protocol (features and their weights, sample count, image size, reference
set), so an `Evaluator` carries it, prints it, and refuses images that it does not describe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from evaluators.metrics.clip_score import check_pairs
from evaluators.metrics.fid import Moments
from evaluators.networks.efficientnet import (
    EFFICIENTNET,
    EfficientNet,
    EfficientNetSettings,
    find_efficientnet,
)
from evaluators.networks.embedded import EmbeddedClip
from evaluators.networks.embedded_model import EmbeddedSettings
from evaluators.networks.embedded_store import embedded_clip
from evaluators.networks.embedded_training import ReadPairs
from evaluators.networks.features import ImageFeatures, RandomConv, RandomConvSettings, check_images
from evaluators.protocols.protocol import CaptionList, Sampling
from evaluators.protocols.score import score_name
from evaluators.scorers.scorer import Scorer, check_described
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, to_plain

PROTOCOL, CLIP_FOLDER = "protocol.yaml", "embedded-clip"
CLIP_SCORE = "clip_embedded"


@dataclass(frozen=True)
class EvaluatorSettings:
    """How a candidate's images are scored. `fid` names the features of the FID that is an objective."""

    images: int = 200  # generated images per score
    reference_images: int = 2000  # real ones, held out; all of them where there are fewer
    retrieval_images: int = 1000  # held-out images on which the embedded CLIP is checked
    fid: Literal["embedded-clip", "random-conv", "efficientnet-lite0"] = "embedded-clip"
    clip: EmbeddedSettings = field(default_factory=EmbeddedSettings)
    random_conv: RandomConvSettings = field(default_factory=RandomConvSettings)
    efficientnet: EfficientNetSettings | None = None  # features of photographs beside; of mdsearch[emoji]

    def __post_init__(self) -> None:
        for name in ("images", "reference_images", "retrieval_images"):
            if getattr(self, name) < 2:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 2 or more")
        if self.fid == EFFICIENTNET and self.efficientnet is None:
            raise InputError(
                f"fid: {EFFICIENTNET} without its settings; needed: efficientnet={{size_px: 224}}"
            )

    @property
    def scores(self) -> tuple[str, ...]:
        """All that an `Evaluator` scores, by name."""
        features = (
            EmbeddedClip.name,
            RandomConv.name,
            *([] if self.efficientnet is None else [EFFICIENTNET]),
        )
        return (*(score_name("fid", name) for name in features), CLIP_SCORE)


class Evaluator(Scorer):
    """By what a search trains on its own data: the embedded CLIP and a random network; and, where it is
    asked for, a network that learned from photographs."""

    clip_name = CLIP_SCORE

    def __init__(
        self,
        clip: EmbeddedClip,
        random_conv: RandomConv,
        references: dict[str, Moments],
        protocol: dict[str, Any],
        efficientnet: EfficientNet | None = None,
    ) -> None:
        self.clip, self.random_conv, self.efficientnet = clip, random_conv, efficientnet
        self.protocol, self.references = protocol, references
        self.images: int = protocol["images"]
        self.fid_name: str = protocol["objectives"]["fid"]
        text = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
        self.protocol_id = hashlib.sha256(text.encode()).hexdigest()[:12]

    # ------------------------------------------------------------------ made once, loaded by each worker

    @classmethod
    def prepare(
        cls,
        folder: Path,
        settings: EvaluatorSettings,
        *,
        train: ReadPairs,
        train_count: int,
        held_out_images: np.ndarray,
        held_out_captions: Sequence[str],
        data_digest: str,
        cache_folder: Path,
        captions: CaptionList | None = None,
        sampling: Sampling | None = None,
        on_step: Callable[[int, int, float], None] | None = None,
    ) -> Evaluator:
        """Write into `folder` what a worker needs to score: models, reference moments, protocol.

        The embedded CLIP is the shipped one of these images, or the cache folder's. References are the
        first `reference_images` of the held-out images, so that no feature set has learned them by heart.

        Args:
            captions, sampling: of the images that will be scored, for the protocol.

        Raises:
            InputError: fewer than two held-out images.
        """
        check_images(held_out_images)
        check_pairs(held_out_images, held_out_captions)
        if len(held_out_images) < 2:
            raise InputError("reference_images: one held-out image; a reference needs two or more")
        clip = embedded_clip(
            train,
            train_count,
            held_out_images[: settings.retrieval_images],
            held_out_captions[: settings.retrieval_images],
            data_digest,
            settings.clip,
            cache_folder,
            on_step,
        )
        random_conv = RandomConv(settings.random_conv)
        efficientnet = None if settings.efficientnet is None else _efficientnet(settings.efficientnet)
        reference = held_out_images[: settings.reference_images]
        sets = _sets(clip, random_conv, efficientnet)
        references = {features.name: Moments.of(features(reference)) for features in sets}
        protocol = _protocol(settings, clip, random_conv, reference, data_digest)
        if clip.frozen is not None:
            seen = {
                "network": clip.frozen.name,
                "digest": clip.frozen.digest,
                "preparation": clip.preparation,
            }
            protocol["features"][clip.name]["seen_through"] = seen
        if efficientnet is not None:
            protocol["features"][efficientnet.name] = _described(efficientnet, settings.efficientnet)
        samples = {"captions": captions, "drawing": sampling}
        protocol |= {name: to_plain(said) for name, said in samples.items() if said is not None}

        clip.save(folder / CLIP_FOLDER)
        for name, moments in references.items():
            moments.save(_reference_path(folder, name))
        text = yaml.safe_dump(protocol, sort_keys=False)
        write_whole(folder / PROTOCOL, text)  # last: a folder with a protocol is complete
        return cls(clip, random_conv, references, protocol, efficientnet)

    @classmethod
    def load(cls, folder: Path) -> Evaluator:
        """From a folder that `prepare` wrote. Raises InputError where it is missing or not complete."""
        try:
            protocol = yaml.safe_load((folder / PROTOCOL).read_text(encoding="utf-8"))
            features = protocol["features"]
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: not a prepared evaluator: {error}") from None
        clip = EmbeddedClip.load(folder / CLIP_FOLDER)
        random_conv = RandomConv(from_plain(RandomConvSettings, features[RandomConv.name]["settings"]))
        efficientnet = None
        if EFFICIENTNET in features:
            efficientnet = _efficientnet(
                from_plain(EfficientNetSettings, features[EFFICIENTNET]["settings"], EFFICIENTNET)
            )
        for model in _sets(clip, random_conv, efficientnet):
            if model.digest != features[model.name]["digest"]:
                raise InputError(f"{folder}: {model.name} has another digest than its protocol says")
        references = {name: Moments.load(_reference_path(folder, name)) for name in features}
        return cls(clip, random_conv, references, protocol, efficientnet)

    # ------------------------------------------------------------------ scores

    def too_long(self, captions: Sequence[str]) -> int:
        return self.clip.too_long(captions)

    def _measure(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        check_images(images)
        check_pairs(images, captions)
        check_described(images, self.images, self.protocol["image_size_px"])
        sets = _sets(self.clip, self.random_conv, self.efficientnet)
        features = {model.name: model(images) for model in sets if model is not self.clip}
        looked_already = self.clip.sees_through(self.efficientnet)
        features[self.clip.name] = (
            self.clip.over(features[EFFICIENTNET]) if looked_already else self.clip(images)
        )
        return features, {CLIP_SCORE: self.clip.similarity(features[self.clip.name], captions)}


def _sets(
    clip: EmbeddedClip, random_conv: RandomConv, efficientnet: EfficientNet | None
) -> tuple[ImageFeatures, ...]:
    return (clip, random_conv) if efficientnet is None else (clip, random_conv, efficientnet)


def _efficientnet(settings: EfficientNetSettings) -> EfficientNet:
    """Raises InputError where its package is not installed."""
    return EfficientNet(find_efficientnet(None), settings)


def _described(efficientnet: EfficientNet, settings: EfficientNetSettings | None) -> dict[str, Any]:
    return {
        "digest": efficientnet.digest,
        "width": efficientnet.width,
        "preparation": efficientnet.preparation,
        "settings": to_plain(settings),
    }


def _reference_path(folder: Path, features: str) -> Path:
    return folder / f"reference-{features}.npz"


def _protocol(
    settings: EvaluatorSettings,
    clip: EmbeddedClip,
    random_conv: RandomConv,
    reference: np.ndarray,
    data_digest: str,
) -> dict[str, Any]:
    return {
        "name": "embedded",
        "objectives": {"fid": score_name("fid", settings.fid), "clip": CLIP_SCORE},
        "images": settings.images,
        "image_size_px": reference.shape[1],
        "resize": "none",
        "features": {
            clip.name: {
                "digest": clip.digest,
                "width": clip.width,
                "retrieval_accuracy": clip.retrieval_accuracy,
                "data_digest": data_digest,
            },
            random_conv.name: {
                "digest": random_conv.digest,
                "width": random_conv.width,
                "settings": to_plain(settings.random_conv),
            },
        },
        "reference": {
            "split": "held out",
            "images": len(reference),
            "digest": hashlib.sha256(np.ascontiguousarray(reference).data).hexdigest()[:16],
        },
        "frechet": "float64, unbiased covariances",
        "clip_score": "mean cosine of image and caption embeddings, not rescaled",
    }

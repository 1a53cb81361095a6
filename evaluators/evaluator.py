"""Scores and the protocol that made them: what a search asks, of images and captions alone.

A score means nothing without its protocol (features and their weights, sample count, image size, reference
set), so an `Evaluator` carries it, prints it, and refuses images that it does not describe.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from evaluators.clip_score import check_pairs
from evaluators.embedded import Draw, EmbeddedClip, EmbeddedSettings, embedded_clip
from evaluators.features import ImageFeatures, RandomConv, RandomConvSettings, check_images
from evaluators.fid import Moments, frechet_distance
from evaluators.score import score_name
from space.plain import InputError, from_plain, to_plain

PROTOCOL, CLIP_FOLDER = "protocol.yaml", "embedded-clip"
CLIP_SCORE = "clip_embedded"
RESAMPLES = 20  # bootstrap samples of a score's pictures: they tell a deviation to within a sixth


@dataclass(frozen=True)
class EvaluatorSettings:
    """How a candidate's pictures are scored. `fid` names the features of the FID that is an objective."""

    images: int = 200  # generated pictures a score
    reference_images: int = 2000  # real ones, held out; all of them where there are fewer
    retrieval_images: int = 1000  # held-out pictures on which the embedded CLIP is checked
    fid: Literal["embedded-clip", "random-conv"] = "embedded-clip"
    clip: EmbeddedSettings = field(default_factory=EmbeddedSettings)
    random_conv: RandomConvSettings = field(default_factory=RandomConvSettings)

    def __post_init__(self) -> None:
        for name in ("images", "reference_images", "retrieval_images"):
            if getattr(self, name) < 2:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 2 or more")


class Evaluator:
    """Scores of generated images: an FID for each feature set, and the CLIP score of the embedded CLIP.

    Attributes:
        protocol: all that made the scores, as plain data; `protocol_id` is its hash.
        fid_name, clip_name: the keys, among the scores, of the two objectives.
    """

    clip_name = CLIP_SCORE

    def __init__(
        self,
        clip: EmbeddedClip,
        random_conv: RandomConv,
        references: dict[str, Moments],
        protocol: dict[str, Any],
    ) -> None:
        self.clip, self.random_conv, self.protocol = clip, random_conv, protocol
        self.references = references
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
        train: Draw,
        train_count: int,
        held_out_images: np.ndarray,
        held_out_captions: Sequence[str],
        data_digest: str,
        cache_folder: Path,
        on_step: Callable[[int, int, float], None] | None = None,
    ) -> Evaluator:
        """Write into `folder` what a worker needs to score: models, reference moments, protocol.

        The embedded CLIP is taken from the cache folder where it was trained before. References are the
        first `reference_images` of the held-out pictures, so that no feature set has learned them by heart.

        Raises:
            InputError: fewer than two held-out pictures.
        """
        check_images(held_out_images)
        check_pairs(held_out_images, held_out_captions)
        if len(held_out_images) < 2:
            raise InputError("reference_images: one held-out picture; a reference needs two or more")
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
        reference = held_out_images[: settings.reference_images]
        references = {features.name: Moments.of(features(reference)) for features in (clip, random_conv)}
        protocol = _protocol(settings, clip, random_conv, reference, data_digest)

        clip.save(folder / CLIP_FOLDER)
        for name, moments in references.items():
            moments.save(_reference_path(folder, name))
        own = folder / f".{PROTOCOL}-{os.getpid()}"
        own.write_text(yaml.safe_dump(protocol, sort_keys=False))
        own.rename(folder / PROTOCOL)  # last: a folder with a protocol is complete
        return cls(clip, random_conv, references, protocol)

    @classmethod
    def load(cls, folder: Path) -> Evaluator:
        """From a folder that `prepare` wrote. Raises InputError where it is missing or not complete."""
        try:
            protocol = yaml.safe_load((folder / PROTOCOL).read_text())
            features = protocol["features"]
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: not a prepared evaluator: {error}") from None
        clip = EmbeddedClip.load(folder / CLIP_FOLDER)
        random_conv = RandomConv(from_plain(RandomConvSettings, features[RandomConv.name]["settings"]))
        for model in (clip, random_conv):
            if model.digest != features[model.name]["digest"]:
                raise InputError(f"{folder}: {model.name} has another digest than its protocol says")
        references = {name: Moments.load(_reference_path(folder, name)) for name in features}
        return cls(clip, random_conv, references, protocol)

    # ------------------------------------------------------------------ scores

    def score(self, images: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
        """Of (N, H, W, 3) uint8 images and N captions, N and the size as the protocol says.

        Raises:
            ValueError: other images than the protocol describes.
        """
        features, cosines = self._measure(images, captions)
        return self._scores(features, cosines, np.arange(len(images)))

    def score_and_deviations(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """What `score` and `resampled` return, from one pass through the features."""
        features, cosines = self._measure(images, captions)
        scores = self._scores(features, cosines, np.arange(len(images)))
        return scores, _deviations(self._resamples(features, cosines, RESAMPLES, seed=0))

    def resampled(
        self, images: np.ndarray, captions: Sequence[str], repeats: int = RESAMPLES, seed: int = 0
    ) -> dict[str, float]:
        """The standard deviation of each score over bootstrap samples of the images.

        It holds the luck of which prompts were drawn, which candidates with the same prompts share: for one
        candidate it is an upper bound of the noise of its pictures, generous for an FID. The noise of a
        difference is the deviation of the difference of two `resamples`. Neither holds the noise of training
        with another seed.
        """
        return _deviations(self.resamples(images, captions, repeats, seed))

    def resamples(
        self, images: np.ndarray, captions: Sequence[str], repeats: int = RESAMPLES, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Each score over bootstrap samples of the images, (repeats,); equal seeds draw equal rows.

        So the resamples of two candidates with the same prompts are paired.
        """
        if repeats < 2:
            raise ValueError(f"a standard deviation needs two repeats or more, got {repeats}")
        return self._resamples(*self._measure(images, captions), repeats, seed)

    def _resamples(
        self, features: dict[str, np.ndarray], cosines: np.ndarray, repeats: int, seed: int
    ) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([seed, 0xB007])
        draws = [rng.integers(0, len(cosines), len(cosines)) for _ in range(repeats)]
        scores = [self._scores(features, cosines, draw) for draw in draws]
        return {name: np.array([score[name] for score in scores]) for name in scores[0]}

    def _measure(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        check_images(images)
        check_pairs(images, captions)
        wanted, size = self.protocol["images"], self.protocol["image_size_px"]
        if images.shape[:3] != (wanted, size, size):
            raise ValueError(
                f"images of shape {images.shape}; this protocol scores ({wanted}, {size}, {size}, 3), and "
                "scores of other counts or sizes would not compare"
            )
        sets: tuple[ImageFeatures, ...] = (self.clip, self.random_conv)
        features = {model.name: model(images) for model in sets}
        return features, self.clip.similarity(features[self.clip.name], captions)

    def _scores(
        self, features: dict[str, np.ndarray], cosines: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        scores = {
            score_name("fid", name): frechet_distance(Moments.of(values[rows]), self.references[name])
            for name, values in features.items()
        }
        return scores | {CLIP_SCORE: float(cosines[rows].mean())}


def _deviations(resamples: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.std(values, ddof=1)) for name, values in resamples.items()}


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

"""What a search asks of an evaluator: the scores of one set of images, and how much they would move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.protocols.score import score_name

RESAMPLES = 20  # bootstrap samples of a score's images: they tell a deviation to within a sixth


class Scorer(ABC):
    """Scores of generated images: an FID for each feature set, a CLIP score, and HPS where it is asked for.

    Attributes:
        protocol: all that made the scores, as plain data; `protocol_id` is a hash of it.
        images: how many images a score is of.
        fid_name, clip_name: the keys, among the scores, of the two objectives.
        references: the real images' moments, by feature set.
    """

    protocol: dict[str, Any]
    protocol_id: str
    images: int
    fid_name: str
    clip_name: str
    references: Mapping[str, Moments]

    def score(self, images: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
        """Of (N, H, W, 3) uint8 images and N captions, N and the size as the protocol says.

        Raises:
            ValueError: other images than the protocol describes.
        """
        features, values = self._measure(images, captions)
        return self._scores(features, values, np.arange(len(images)))

    def score_and_deviations(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """What `score` and `resampled` return, from one pass through the features."""
        features, values = self._measure(images, captions)
        scores = self._scores(features, values, np.arange(len(images)))
        return scores, _deviations(self._resamples(features, values, RESAMPLES, seed=0))

    def resampled(
        self, images: np.ndarray, captions: Sequence[str], repeats: int = RESAMPLES, seed: int = 0
    ) -> dict[str, float]:
        """The standard deviation of each score over bootstrap samples of the images.

        It holds the luck of which prompts were chosen, which candidates with the same prompts share: for one
        candidate it is an upper bound of the noise of its images, generous for an FID. The noise of a
        difference is the deviation of the difference of two `resamples`. Neither holds the noise of training
        with another seed.
        """
        return _deviations(self.resamples(images, captions, repeats, seed))

    def resamples(
        self, images: np.ndarray, captions: Sequence[str], repeats: int = RESAMPLES, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Each score over bootstrap samples of the images, (repeats,); equal seeds choose equal rows.

        So the resamples of two candidates with the same prompts are paired.
        """
        if repeats < 2:
            raise ValueError(f"a standard deviation needs two repeats or more, got {repeats}")
        return self._resamples(*self._measure(images, captions), repeats, seed)

    @abstractmethod
    def too_long(self, captions: Sequence[str]) -> int:
        """How many of the captions the text tower cuts."""

    @abstractmethod
    def _measure(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(N, width) features by feature set, and (N,) values of each score that is their mean. Raises
        ValueError as `score` does."""

    def _resamples(
        self, features: dict[str, np.ndarray], values: dict[str, np.ndarray], repeats: int, seed: int
    ) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([seed, 0xB007])
        count = len(values[self.clip_name])
        rows = [rng.integers(0, count, count) for _ in range(repeats)]
        scores = [self._scores(features, values, some) for some in rows]
        return {name: np.array([score[name] for score in scores]) for name in scores[0]}

    def _scores(
        self, features: dict[str, np.ndarray], values: dict[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, float]:
        scores = {
            score_name("fid", name): frechet_distance(Moments.of(found[rows]), self.references[name])
            for name, found in features.items()
        }
        return scores | {name: float(each[rows].mean()) for name, each in values.items()}


def check_described(images: np.ndarray, count: int, size_px: int | None) -> None:
    """Raises ValueError where these are not as many images, or not of the size, as a protocol describes."""
    if images.shape[:3] != (count, size_px, size_px):
        raise ValueError(
            f"images of shape {images.shape}; this protocol scores ({count}, {size_px}, {size_px}, 3), and "
            "scores of other counts or sizes would not compare"
        )


def _deviations(resamples: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.std(values, ddof=1)) for name, values in resamples.items()}

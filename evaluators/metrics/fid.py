"""Frechet distance of two sets of features, from float64 moments that stream and merge.

FID after Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), equation 6:
|mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)), A and B the covariances.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.linalg.lapack import dpstrf

from space.shared.plain import InputError

UNSAID_COUNT = 2**30 + 1  # less one it is a power of two, by which a covariance is scaled without rounding


class Moments:
    """Count, mean and covariance of features, accumulated in float64.

    Each batch is reduced about its own mean and then merged (Chan, Golub and LeVeque, 1979), so neither a
    large mean nor the way that a set was split loses digits.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = np.zeros(width)
        self._scatter = np.zeros((width, width))  # sum of outer products about the mean
        self._factor: np.ndarray | None = None

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """The moments of one array (N, width)."""
        moments = cls(np.shape(features)[-1])
        moments.add(features)
        return moments

    @classmethod
    def of_unsaid_count(cls, mean: np.ndarray, covariance: np.ndarray) -> Moments:
        """Of a mean and an unbiased covariance from elsewhere, as of more samples than anybody has.

        Raises:
            ValueError: they do not fit each other, are not finite, or are no covariance.
        """
        mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
        if not np.allclose(
            covariance, covariance.T, rtol=1e-5, atol=1e-8 * float(np.abs(covariance).max(initial=0))
        ):
            raise ValueError("a covariance that is not symmetric")
        arrays = {"count": np.array(UNSAID_COUNT), "mean": mean, "scatter": covariance * (UNSAID_COUNT - 1)}
        return cls.from_arrays(arrays)

    @property
    def width(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> np.ndarray:
        """(width, width), unbiased. Raises ValueError under two samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two samples or more, got {self.count}")
        return self._scatter / (self.count - 1)

    def add(self, features: np.ndarray) -> None:
        """Take in a batch (N, width). Raises ValueError on another width or on NaN or infinite features."""
        batch = np.asarray(features, np.float64)
        if batch.ndim != 2 or batch.shape[1] != self.width:
            raise ValueError(f"features of shape {batch.shape}; expected (N, {self.width})")
        if not np.isfinite(batch).all():
            bad = int((~np.isfinite(batch)).any(axis=1).sum())
            raise ValueError(f"NaN or infinite features in {bad} of {len(batch)} samples")
        if len(batch):
            mean = batch.mean(axis=0)
            centred = batch - mean
            self._merge(len(batch), mean, centred.T @ centred)

    def merge(self, other: Moments) -> None:
        """Take in all that `other` has seen, as another worker's share."""
        if other.width != self.width:
            raise ValueError(f"moments of {other.width} features do not merge with {self.width}")
        if other.count:
            self._merge(other.count, other.mean, other._scatter)

    def _merge(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self.count + count
        shift = mean - self.mean
        self._scatter = self._scatter + scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total
        self._factor = None

    @property
    def factor(self) -> np.ndarray:
        """F (width, rank) with F F^T = covariance; directions without variance, to rounding, left out.

        By Cholesky with pivots (LAPACK's dpstrf), which stops at the rank and takes a fifth of eigh's time.
        """
        if self._factor is None:
            lower, pivots, rank, _ = dpstrf(self.covariance, lower=1)
            factor = np.tril(lower)[:, :rank]
            self._factor = np.empty_like(factor)
            self._factor[pivots - 1] = factor
        return self._factor

    def arrays(self) -> dict[str, np.ndarray]:
        """Float64 mean and scatter, and the count: what files hold, to be read back equal."""
        return {"count": np.array(self.count), "mean": self.mean, "scatter": self._scatter}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Moments:
        """Raises KeyError where one is missing, ValueError where they do not fit or are not finite."""
        mean, scatter = np.asarray(arrays["mean"]), np.asarray(arrays["scatter"])
        if mean.ndim != 1 or scatter.shape != (len(mean), len(mean)):
            raise ValueError(f"a mean of shape {mean.shape} beside a scatter of shape {scatter.shape}")
        if not (np.isfinite(mean).all() and np.isfinite(scatter).all()):
            raise ValueError("NaN or infinite moments")
        moments = cls(len(mean))
        moments._merge(int(np.asarray(arrays["count"]).item()), mean, scatter)
        return moments

    def save(self, path: Path) -> None:
        """As .npz."""
        with path.open("wb") as file:
            np.savez(file, **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Moments:
        """Raises InputError where the file is missing or holds something else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls.from_arrays(stored)
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as reference moments: {error}") from None


def too_few(samples: int, reference: Moments) -> list[str]:
    """Which of the two sets is no larger than its features: a covariance of it lacks rank, and an FID is
    mostly bias, whichever set it is."""
    counts = {"samples": samples, "references": reference.count}
    return [
        f"{count:,} {what} for {reference.width:,} features: too few for a covariance, mostly bias"
        for what, count in counts.items()
        if count <= reference.width
    ]


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Frechet distance between Gaussians of these moments; never NaN, never negative.

    With A = F F^T and B = G G^T, tr((A B)^(1/2)) is the sum of the singular values of F^T G. This keeps
    full precision where a covariance is rank-deficient (fewer samples than features), as square roots of
    the eigenvalues of A B do not: there an error of 1e-16 becomes one of 1e-8.

    Raises:
        ValueError: fewer than two samples in a set, or sets of different features.
    """
    if a.width != b.width:
        raise ValueError(f"sets of {a.width} and {b.width} features cannot be compared")
    for moments in (a, b):
        if moments.count < 2:
            raise ValueError(f"a Frechet distance needs two samples or more in each set, got {moments.count}")
    shift = a.mean - b.mean
    overlap = np.linalg.svd(a.factor.T @ b.factor, compute_uv=False).sum()
    distance = shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(0.0, float(distance))

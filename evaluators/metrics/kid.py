"""Kernel inception distance (Binkowski et al., "Demystifying MMD GANs", 2018), with its published subsets.

The unbiased estimate of the squared maximum mean discrepancy under the kernel (x y / width + 1)^3, averaged
over 100 subsets of 1,000 samples and as many references. Subsets are cut from whole shuffles, so that every
sample is used equally often, to one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.metrics.intervals import groups_of, jackknife
from evaluators.protocols.score import ConfidenceInterval

SUBSETS, SUBSET_SIZE = 100, 1000


def kernel_distance(
    samples: np.ndarray,
    references: np.ndarray,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    intervals: bool = True,
) -> tuple[float, ConfidenceInterval | None]:
    """KID of (N, width) samples and (M, width) references, and its interval.

    Subsets are as large as the smaller set where that has fewer than `subset_size`; there is one alone where
    it is both sets whole. The interval leaves groups of samples out of the same kernel sums. An equal input
    gives an equal result.

    Raises:
        ValueError: fewer than two of either, or other widths.
    """
    if samples.shape[1:] != references.shape[1:] or min(len(samples), len(references)) < 2:
        raise ValueError(
            f"features {samples.shape} and {references.shape}; expected two or more of one width"
        )
    size = min(subset_size, len(samples), len(references))
    if size == len(samples) == len(references):
        subsets = 1  # which is all of both; others would be the same
    groups = groups_of(len(samples)) if intervals else None
    sums = _Sums(1 if groups is None else int(groups.max()) + 1)
    own = np.zeros(len(samples), np.int64) if groups is None else groups
    rng = np.random.default_rng(0x1D)
    pairs = zip(subset_rows(len(samples), size, rng), subset_rows(len(references), size, rng), strict=False)
    for _, (rows, real) in zip(range(subsets), pairs, strict=False):
        sums.add(samples[rows].astype(np.float64), references[real].astype(np.float64), own[rows])
    value = sums.distance()
    if groups is None:
        return value, None
    left_out = [sums.distance(group) for group in range(sums.groups)]
    what = f"samples in {subsets} subsets of {size:,}, references fixed"
    return value, jackknife(value, left_out, what)


def subset_rows(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of one subset after the other, without end."""
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


class _Sums:
    """Kernel sums over all subsets, by the groups of the samples, so that one can be taken out again."""

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self._within, self._within_pairs = np.zeros((2, groups, groups))
        self._across, self._across_pairs = np.zeros((2, groups))
        self._real = self._real_pairs = 0.0

    def add(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        member = np.eye(self.groups)[groups]  # (size, groups)
        counts = member.sum(axis=0)
        within = _kernel(x, x)
        np.fill_diagonal(within, 0)
        self._within += member.T @ within @ member
        self._within_pairs += np.outer(counts, counts) - np.diag(counts)
        self._across += member.T @ _kernel(x, y).sum(axis=1)
        self._across_pairs += counts * len(y)
        real = _kernel(y, y)
        self._real += real.sum() - np.trace(real)
        self._real_pairs += len(y) * (len(y) - 1)

    def distance(self, without: int | None = None) -> float:
        kept = np.arange(self.groups) != (-1 if without is None else without)
        pairs = np.ix_(kept, kept)
        within = self._within[pairs].sum() / self._within_pairs[pairs].sum()
        across = self._across[kept].sum() / self._across_pairs[kept].sum()
        return float(within + self._real / self._real_pairs - 2 * across)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    kernel: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel

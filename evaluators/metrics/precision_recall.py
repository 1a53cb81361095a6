"""Precision and recall of sets (Kynkäänniemi et al., "Improved Precision and Recall Metric", 2019).

A set's manifold is the union of balls around its points, each reaching to the point's third nearest
neighbour within the set. Precision is the share of samples in the references' manifold, recall that of
references in the samples'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from evaluators.metrics.intervals import groups_of, jackknife, wilson
from evaluators.protocols.score import ConfidenceInterval

NEIGHBOURS = 3
ROWS_AT_ONCE = 512
ROUNDING = 1e-12  # of the largest squared length: by less than this equal points are apart in float64


@dataclass(frozen=True)
class PrecisionRecall:
    precision: float
    recall: float
    precision_interval: ConfidenceInterval | None = None
    recall_interval: ConfidenceInterval | None = None


def precision_recall(
    samples: np.ndarray, references: np.ndarray, neighbours: int = NEIGHBOURS, intervals: bool = True
) -> PrecisionRecall:
    """Of (N, width) samples and (M, width) references, and their intervals.

    With the references fixed precision is a share of independent samples, and has Wilson's interval; recall
    depends on all samples together, of which groups are left out.

    Time grows with N^2 + M^2 + N M; 30,000 of each at 2048 features take minutes.

    Raises:
        ValueError: other widths, or a set without `neighbours` neighbours for each of its points.
    """
    if samples.shape[1:] != references.shape[1:] or min(len(samples), len(references)) <= neighbours:
        raise ValueError(
            f"features {samples.shape} and {references.shape}; expected more than {neighbours} of one width"
        )
    groups = groups_of(len(samples)) if intervals else None
    own = np.zeros(len(samples), np.int64) if groups is None else groups
    order = np.argsort(own, kind="stable")  # groups side by side, so that each is a slice
    samples, own = samples[order].astype(np.float64), own[order]
    references = references.astype(np.float64)
    starts = np.searchsorted(own, np.arange(own.max() + 2))

    slack = ROUNDING * max((points**2).sum(axis=1).max() for points in (samples, references))
    inside = _inside(samples, references, _radii(references, neighbours) + slack)
    without = _radii_without(samples, neighbours, starts) + slack if groups is not None else None
    covered = _covered(references, samples, _radii(samples, neighbours) + slack, without, starts)
    precision, recall = float(inside.mean()), float(covered[0].mean())
    if groups is None:
        return PrecisionRecall(precision, recall)
    around = jackknife(recall, covered[1:].mean(axis=1), "samples, references fixed")
    within = replace(around, low=max(0.0, around.low), high=min(1.0, around.high))
    return PrecisionRecall(precision, recall, wilson(int(inside.sum()), len(inside)), within)


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, M) squared distances."""
    distances = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return np.maximum(distances, 0)


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]


def _to_others(points: np.ndarray, block: slice) -> np.ndarray:
    """Squared distances of some points to all, to themselves infinite."""
    distances = _squared(points[block], points)
    rows = np.arange(len(distances))
    distances[rows, block.start + rows] = np.inf
    return distances


def _radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """(N,) squared distance of each point to its k-th nearest neighbour."""
    return np.concatenate(
        [
            np.partition(_to_others(points, block), neighbours - 1, axis=1)[:, neighbours - 1]
            for block in _blocks(len(points))
        ]
    )


def _radii_without(points: np.ndarray, neighbours: int, starts: np.ndarray) -> np.ndarray:
    """(groups, N): the radii with each group left out. Of every group its k nearest are enough to know."""
    radii = []
    for block in _blocks(len(points)):
        distances = _to_others(points, block)
        nearest = np.full((len(distances), len(starts) - 1, neighbours), np.inf)
        for group, (first, last) in enumerate(pairwise(starts)):
            found = np.sort(distances[:, first:last], axis=1)[:, :neighbours]
            nearest[:, group, : found.shape[1]] = found
        without = []
        for group in range(len(starts) - 1):
            others = np.delete(nearest, group, axis=1).reshape(len(distances), -1)
            without.append(np.partition(others, neighbours - 1, axis=1)[:, neighbours - 1])
        radii.append(np.array(without))
    return np.concatenate(radii, axis=1)


def _inside(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(N,) bool: which points lie in the balls."""
    return np.concatenate(
        [(_squared(points[block], centres) <= radii).any(axis=1) for block in _blocks(len(points))]
    )


def _covered(
    points: np.ndarray,
    centres: np.ndarray,
    radii: np.ndarray,
    without: np.ndarray | None,
    starts: np.ndarray,
) -> np.ndarray:
    """(1 + groups, N) bool: which points lie in the balls of all centres, then of those of other groups."""
    blocks = []
    for block in _blocks(len(points)):
        distances = _squared(points[block], centres)
        rows = [(distances <= radii).any(axis=1)]
        for group in range(0 if without is None else len(without)):
            assert without is not None
            within = distances <= without[group]
            within[:, starts[group] : starts[group + 1]] = False
            rows.append(within.any(axis=1))
        blocks.append(np.array(rows))
    return np.concatenate(blocks, axis=1)

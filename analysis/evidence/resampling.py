"""Intervals by the bootstrap over networks, and exact ones of shares. Seeds are fixed: the same data give the
same interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, rankdata

from search.statistics.verdicts import Interval

BOOTSTRAP_SAMPLES = 2000
ERROR_RATE = 0.05
FEWEST = 4  # networks, below which no interval is given

Array = NDArray[np.float64]


def resamples(networks: int, seed: int = 0) -> NDArray[np.int64]:
    """`BOOTSTRAP_SAMPLES` samples of the networks with replacement, as places."""
    return np.random.default_rng(seed).integers(networks, size=(BOOTSTRAP_SAMPLES, networks))


def bootstrap_interval(
    rows: Array, statistic: Callable[[Array], Array], level: float = ERROR_RATE
) -> Interval | None:
    """A statistic of networks (rows; columns are whatever was recorded of each), with the interval that
    resampling the networks gives, outside which lies `level` of the samples; None for too few.

    `statistic` takes samples x networks x columns and gives one number per sample.
    """
    if len(rows) < FEWEST:
        return None
    middle = float(statistic(rows[None])[0])
    return percentiles(middle, statistic(rows[resamples(len(rows))]), level)


def percentiles(middle: float, sampled: Array, level: float = ERROR_RATE) -> Interval | None:
    """Of samples that hold a number: a sample of one network again and again ranks nothing."""
    finite = sampled[np.isfinite(sampled)]
    if not np.isfinite(middle) or not len(finite):
        return None
    low, high = np.quantile(finite, [level / 2, 1 - level / 2])
    return Interval(middle, float(low), float(high))


def spearman(samples: Array, one: int = 0, other: int = 1) -> Array:
    """Rank correlation of two columns of samples x networks x columns, ties at their mean rank; no number
    where a column is constant."""
    x, y = (rankdata(samples[:, :, column], axis=1) for column in (one, other))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation: Array = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return correlation


def mean_spearman(pairs: Sequence[tuple[int, int]]) -> Callable[[Array], Array]:
    """The mean of the rank correlations of several pairs of columns."""
    return lambda samples: np.mean([spearman(samples, one, other) for one, other in pairs], axis=0)


def share_interval(caught: float, of: int) -> Interval | None:
    """A share with Clopper and Pearson's exact interval; `caught` may be a mean over seeds."""
    if not of:
        return None
    low = float(beta.ppf(ERROR_RATE / 2, caught, of - caught + 1)) if caught > 0 else 0.0
    high = float(beta.ppf(1 - ERROR_RATE / 2, caught + 1, of - caught)) if caught < of else 1.0
    return Interval(caught / of, low, high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many there are (Holm's step-down, 1979), in the order given."""
    adjusted, highest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def chance_apart(values: Sequence[int], others: Sequence[int]) -> float:
    """How often the sum of as many draws from `others`, with replacement, is as far out as that of `values`;
    both sides counted: twice the smaller tail, exactly. Whole numbers, 0 or more; of each at least one."""
    frequencies = np.bincount(others) / len(others)
    total = np.ones(1)
    for _ in values:
        total = np.convolve(total, frequencies)
    found = sum(values)
    tails = float(total[: found + 1].sum()), float(total[found:].sum())
    return min(1.0, 2 * min(tails))

"""How far a score would move, were its samples generated again: jackknife over groups, bootstrap of a mean.

References are taken as they are: every score of a protocol is against the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from evaluators.protocols.score import ConfidenceInterval

LEVEL = 0.95
GROUPS = 10  # left out in turn; of 20 the interval is 8 % shorter, and takes twice as long
BOOTSTRAPS = 1000
LEAST_A_GROUP, LEAST_GROUPS = 2, 4  # of fewer groups Student's quantile says nothing
LEAST_SAMPLES = LEAST_A_GROUP * LEAST_GROUPS  # for any interval: resamples of fewer hardly differ either


def groups_of(count: int, seed: int = 0) -> np.ndarray | None:
    """(count,) group numbers from 0, equally many of each (to one), dealt at random; None for too few."""
    groups = min(GROUPS, count // LEAST_A_GROUP)
    if groups < LEAST_GROUPS:
        return None
    rng = np.random.default_rng([seed, 0x9A0])
    return rng.permutation(np.arange(count) % groups)


def jackknife(value: float, left_out: Sequence[float] | np.ndarray, what: str) -> ConfidenceInterval:
    """Around a score, from its values with each of G groups of samples left out (Tukey, 1958).

    The deviation is sqrt((G - 1) / G sum (left out - their mean)^2), the quantile Student's with G - 1
    degrees of freedom. A bias that hardly changes with one group less, as an FID's, leaves it alone.
    """
    values = np.asarray(left_out, np.float64)
    groups = len(values)
    deviation = np.sqrt((groups - 1) / groups * np.sum((values - values.mean()) ** 2))
    half = float(stats.t.ppf((1 + LEVEL) / 2, groups - 1) * deviation)
    return ConfidenceInterval(value - half, value + half, LEVEL, f"jackknife over {groups} groups of {what}")


def wilson(hits: int, of: int) -> ConfidenceInterval:
    """Of a share (Wilson, 1927): holds something to either side where all or none of few are hits."""
    found = stats.binomtest(hits, of).proportion_ci(LEVEL, method="wilson")
    return ConfidenceInterval(
        float(found.low), float(found.high), LEVEL, f"Wilson's of {of:,} samples, references fixed"
    )


def bootstrap_of_mean(values: np.ndarray, seed: int = 0) -> ConfidenceInterval:
    """Percentiles of the mean of (N,) values over resamples of them, equal for equal seeds."""
    rng = np.random.default_rng([seed, 0xB007])
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(BOOTSTRAPS)]
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return ConfidenceInterval(float(low), float(high), LEVEL, f"{BOOTSTRAPS} bootstraps of the images")

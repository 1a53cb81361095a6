"""How near a price list comes to whole networks that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from space.shared.plain import InputError

EQUAL_MACS = 0.05
LEAST_NETWORKS = 4


@dataclass(frozen=True)
class Whole:
    """A network: GMACs, what a list predicts, and what was measured, in ms."""

    id: str
    gmacs: float
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """As a share of what was measured."""
        return abs(self.predicted - self.measured) / self.measured


@dataclass(frozen=True)
class ListVerdict:
    """Errors are shares of the measured time; `macs_error` is the mean one of a line through MACs, fitted to
    these very networks; `equal_pairs` of them differ by at most 5 % in MACs, and of these a share of
    `equal_in_order` is ranked as measured (a half is chance)."""

    networks: int
    median_error: float
    mean_error: float
    worst_error: float
    rank_correlation: float
    macs_error: float
    macs_rank_correlation: float
    equal_pairs: int
    equal_in_order: float | None
    equal_networks: int
    equal_rank_correlation: float | None

    @property
    def holds(self) -> bool:
        return (
            self.median_error <= 0.10
            and self.rank_correlation >= 0.95
            and self.mean_error <= self.macs_error / 2
        )


def verdict_of_list(networks: Sequence[Whole], equal: Sequence[Whole] = ()) -> ListVerdict:
    """`equal` are networks of about the same MACs, beside the random ones.

    Raises:
        InputError: too few networks to say anything.
    """
    if len(networks) < LEAST_NETWORKS:
        raise InputError(f"networks: {len(networks)} say nothing; allowed: {LEAST_NETWORKS} or more")
    measured = np.array([one.measured for one in networks])
    predicted = np.array([one.predicted for one in networks])
    gmacs = np.array([one.gmacs for one in networks])
    errors = np.array([one.error for one in networks])
    line = np.polynomial.Polynomial.fit(gmacs, measured, 1, w=1 / measured)
    both = [*networks, *equal]
    pairs = [
        (one, other)
        for one, other in combinations(both, 2)
        if abs(one.gmacs - other.gmacs) <= EQUAL_MACS * min(one.gmacs, other.gmacs)
    ]
    in_order = [
        (one.predicted - other.predicted) * (one.measured - other.measured) > 0 for one, other in pairs
    ]
    return ListVerdict(
        networks=len(networks),
        median_error=float(np.median(errors)),
        mean_error=float(errors.mean()),
        worst_error=float(errors.max()),
        rank_correlation=rank_correlation(predicted, measured),
        macs_error=float(np.mean(np.abs(line(gmacs) - measured) / measured)),
        macs_rank_correlation=rank_correlation(gmacs, measured),
        equal_pairs=len(pairs),
        equal_in_order=float(np.mean(in_order)) if pairs else None,
        equal_networks=len(equal),
        equal_rank_correlation=(
            rank_correlation([one.predicted for one in equal], [one.measured for one in equal])
            if len(equal) >= LEAST_NETWORKS
            else None
        ),
    )


def rank_correlation(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Spearman's."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)

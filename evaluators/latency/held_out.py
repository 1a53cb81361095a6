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
    """A network: GMACs, what a list predicts, and what was measured, in ms; in a first visit and again in a
    second one, where there were two."""

    id: str
    gmacs: float
    predicted: float
    measured: float
    first: float | None = None
    again: float | None = None

    @property
    def error(self) -> float:
        """As a share of what was measured."""
        return abs(self.predicted - self.measured) / self.measured


@dataclass(frozen=True)
class TimesSpread:
    """What there is to be ranked: the least and the most GMACs and ms, the standard deviation of the times as
    a share of their mean; and how far they agree with themselves.

    `repeats` is the rank correlation of the second visits with the first, `apart` the median of their
    differences as shares. No prediction can be expected above the `ceiling`: the correlation with what both
    visits together would say without noise, sqrt(2 r / (1 + r)). None without second visits.
    """

    gmacs: tuple[float, float]
    ms: tuple[float, float]
    deviation: float
    repeats: float | None
    ceiling: float | None
    apart: float | None


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
    spread: TimesSpread
    equal_spread: TimesSpread | None

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
        spread=spread_of(networks),
        equal_spread=spread_of(equal) if len(equal) >= LEAST_NETWORKS else None,
    )


def spread_of(networks: Sequence[Whole]) -> TimesSpread:
    gmacs, ms = ([getattr(one, name) for one in networks] for name in ("gmacs", "measured"))
    twice = [(one.first, one.again) for one in networks if one.first is not None and one.again is not None]
    repeats = ceiling = apart = None
    if len(twice) == len(networks):
        first, again = (np.array(visit) for visit in zip(*twice, strict=True))
        repeats = rank_correlation(first, again)
        ceiling = float(np.sqrt(2 * repeats / (1 + repeats))) if repeats > 0 else 0.0
        apart = float(np.median(np.abs(first - again) / ((first + again) / 2)))
    return TimesSpread(
        (min(gmacs), max(gmacs)),
        (min(ms), max(ms)),
        float(np.std(ms) / np.mean(ms)),
        repeats,
        ceiling,
        apart,
    )


def rank_correlation(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Spearman's."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)

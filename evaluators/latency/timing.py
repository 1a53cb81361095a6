"""Times of several things measured in turns, and how sure their medians are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from statistics import fmean, median, pstdev

TimedRun = Callable[[int], float | None]
"""Runs once with the input of this number; gives its ms where it has a clock of its own (a GPU's events)."""
Clock = Callable[[], float]
COVERED = 0.95


@dataclass(frozen=True)
class Timing:
    """What one thing took, in ms, round by round."""

    times: tuple[float, ...]

    @cached_property
    def median(self) -> float:
        return median(self.times)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the median, 95 %, by order statistics; with fewer than six rounds the least and the most."""
        ordered = sorted(self.times)
        outer = order_rank(len(ordered))
        return ordered[outer], ordered[-1 - outer]

    @cached_property
    def middle(self) -> tuple[float, ...]:
        """The middle half of the rounds: what disturbed some of the others is not in it."""
        ordered, cut = sorted(self.times), len(self.times) // 4
        return tuple(ordered[cut : len(ordered) - cut])

    @property
    def mean(self) -> float:
        return fmean(self.middle)

    @property
    def spread(self) -> float:
        """Standard deviation of the middle half."""
        return pstdev(self.middle)


def order_rank(count: int) -> int:
    """How many ordered values on either side lie outside the interval of the median: the most with which both
    tails of a fair coin's throws together stay within 5 %."""
    tail, term, rank = 0.0, 0.5**count, 0
    while True:
        tail += term
        if 2 * tail > 1 - COVERED:
            return max(0, rank - 1)
        term *= (count - rank) / (rank + 1)
        rank += 1


def alternating(
    runs: Mapping[str, TimedRun],
    rounds: int,
    *,
    warm_up: int = 1,
    clock: Clock = time.perf_counter,
    on_round: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Timing]:
    """Each once a round, forwards and backwards in turns, after rounds that don't count. Inputs rotate."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-warm_up, rounds):
        for name in runs if number % 2 == 0 else reversed(list(runs)):
            elapsed = timed_once(runs[name], number + warm_up, clock)
            if number >= 0:
                found[name].append(elapsed)
        on_round(max(0, number + 1), rounds)
    return {name: Timing(tuple(times)) for name, times in found.items()}


def timed_once(run: TimedRun, number: int, clock: Clock = time.perf_counter) -> float:
    """ms of one run."""
    start = clock()
    own = run(number)
    return 1e3 * (clock() - start) if own is None else own


def rounds_within(seconds: float, one_round_ms: float, least: int, most: int) -> int:
    """So many rounds as take about these seconds."""
    return ceil(min(most, max(least, 1e3 * seconds / max(one_round_ms, 1e-6))))

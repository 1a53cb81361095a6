"""How much candidates differ at each rung, beside what the seed alone does to one of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

from search.objectives import Objective
from search.runs.header import noise_of, objectives_of
from search.runs.record import History
from search.runs.scores import point_in
from search.statistics.noise import Noise
from search.statistics.pareto import Point


@dataclass(frozen=True)
class ScoreSpread:
    """Of one objective: `spread` over the candidates and `noise` of one are standard deviations, on the log
    scale as shares of the score. `pairs` is the share of pairs that differ beyond the noise; None where it is
    not known."""

    objective: Objective
    median: float
    spread: float
    noise: float | None
    pairs: float | None


@dataclass(frozen=True)
class Spread:
    """How much candidates differ at a rung in each objective, beside what the seed alone does."""

    step: int
    trials: int
    each: tuple[ScoreSpread, ...]


def spreads(history: History) -> list[Spread]:
    """The spread of the search's trials at each rung that two of them reached."""
    noise, objectives = noise_of(history), objectives_of(history)
    if noise is None:
        return []
    points: dict[int, list[Point]] = {}
    for trial in history.trials:
        for rung in trial.rungs:
            if (point := point_in(rung.scores, objectives)) is not None:
                points.setdefault(rung.step, []).append(point)
    return [_spread(step, points[step], noise) for step in sorted(points) if len(points[step]) > 1]


def _spread(step: int, points: Sequence[Point], noise: Noise) -> Spread:
    objectives = points[0].objectives
    columns = zip(*(point.values for point in points), strict=True)
    stated = noise.at(step).deviations(objectives)
    bound = noise.deviations * 2**0.5  # of a difference between two runs, in standard deviations of one
    each = (
        ScoreSpread(
            objective,
            median(values),
            _deviation(values, objective),
            deviation,
            None if deviation is None else _share_apart(values, objective, bound * deviation),
        )
        for objective, values, deviation in zip(objectives, columns, stated, strict=True)
    )
    return Spread(step, len(points), tuple(each))


def _deviation(values: Sequence[float], objective: Objective) -> float:
    if objective.scale == "linear":
        return pstdev(values)
    return pstdev(values) / fmean(values) if fmean(values) else 0.0


def _share_apart(values: Sequence[float], objective: Objective, bound: float) -> float:
    if objective.scale == "linear":
        return _share_of_pairs(values, lambda value: value + bound)
    half = bound / 2  # |a - b| > bound (a + b) / 2 is a > b (1 + half) / (1 - half)
    ratio = (1 + half) / (1 - half) if half < 1 else float("inf")
    return _share_of_pairs(values, lambda value: value * ratio)


def _share_of_pairs(values: Sequence[float], reach: Callable[[float], float]) -> float:
    """The share of pairs whose larger value lies beyond what the smaller one reaches."""
    ordered, count = sorted(values), len(values)
    beyond = sum(count - max(bisect_right(ordered, reach(value)), i + 1) for i, value in enumerate(ordered))
    return beyond / (count * (count - 1) / 2)

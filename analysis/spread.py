"""How much candidates differ at each rung, beside what the seed alone does to one of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

from search.runs.header import noise_of, objectives_of
from search.runs.record import History
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point


@dataclass(frozen=True)
class Spread:
    """How much candidates differ at a rung, beside what the seed alone does. FID as a share of the FID."""

    step: int
    trials: int
    fid_median: float
    fid_relative: float
    clip_median: float
    clip: float
    noise: RungNoise
    fid_pairs: float
    clip_pairs: float


def spreads(history: History) -> list[Spread]:
    """The spread of the search's trials at each rung that two of them reached."""
    noise, objectives = noise_of(history), objectives_of(history)
    if noise is None:
        return []
    points: dict[int, list[Point]] = {}
    for trial in history.trials:
        for rung in trial.rungs:
            fid, clip = rung.scores.get(objectives[0].name), rung.scores.get(objectives[1].name)
            if fid is not None and clip is not None:
                points.setdefault(rung.step, []).append(Point.of(fid, clip))
    return [_spread(step, points[step], noise) for step in sorted(points) if len(points[step]) > 1]


def _spread(step: int, points: Sequence[Point], noise: Noise) -> Spread:
    at, fids, clips = noise.at(step), [p.fid for p in points], [p.clip for p in points]
    bound = noise.deviations * 2**0.5  # of a difference between two runs, in standard deviations of one
    half = bound * at.fid_relative / 2  # |a - b| > bound (a + b) / 2 is a > b (1 + half) / (1 - half)
    ratio = (1 + half) / (1 - half) if half < 1 else float("inf")
    return Spread(
        step,
        len(points),
        median(fids),
        pstdev(fids) / fmean(fids) if fmean(fids) else 0.0,
        median(clips),
        pstdev(clips),
        at,
        _share_of_pairs(fids, lambda value: value * ratio),
        _share_of_pairs(clips, lambda value: value + bound * at.clip),
    )


def _share_of_pairs(values: Sequence[float], reach: Callable[[float], float]) -> float:
    """The share of pairs whose larger value lies beyond what the smaller one reaches."""
    ordered, count = sorted(values), len(values)
    beyond = sum(count - max(bisect_right(ordered, reach(value)), i + 1) for i, value in enumerate(ordered))
    return beyond / (count * (count - 1) / 2)

"""Where a learning curve will end: a line through what earlier trials made of the same rung.

The model, for each objective on the scale on which its noise is even (log FID, CLIP): over the trials that
are recorded at this rung and at full length, the final score is a straight line of the score at this rung,
fitted by least squares, its slope not negative. A new trial's final score then lies within the textbook's
prediction interval: Student's t with n - 2 degrees of freedom, times the residual deviation (never less than
one run's noise, where it is stated), times sqrt(1 + 1/n + (x - mean)^2 / Sxx). Who is stopped is decided by
earlier scores, on which the line depends, and not by the end that it predicts: that the stopped ones never
got there does not bend it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from search.objectives import Objectives
from search.statistics.curves import Curve, points_at
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule
from space.shared.plain import InputError

LEAST_PEERS = 3  # a line through two leaves no residual


@dataclass(frozen=True)
class ExtrapolateSettings:
    """`minimum_peers` must have been at a rung and at full length before anyone is stopped there;
    `confidence` that each score ends no better than a stopped trial is allowed for."""

    name: Literal["extrapolate"] = "extrapolate"
    minimum_peers: int = 4
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if self.minimum_peers < LEAST_PEERS:
            raise InputError(
                f"minimum_peers: {self.minimum_peers} is too few for a line; allowed: {LEAST_PEERS} or more"
            )
        if not 0.5 <= self.confidence < 1:
            raise InputError(f"confidence: {self.confidence} is none; allowed: from 0.5 to under 1")

    @property
    def doubt(self) -> str:
        return f"by its model a score ends better than it allows for with {1 - self.confidence:.0%}"

    def make(self, noise: Noise) -> StoppingRule:
        return ExtrapolatingRule(noise, self.minimum_peers, self.confidence)


@dataclass(frozen=True)
class ExtrapolatingRule:
    """Stops a trial that will not reach the Pareto front of the complete ones: even with all objectives at
    the favourable ends of their prediction intervals (each one-sided, at `confidence`), a complete trial is
    at least as good in all and better in one.

    Nobody is stopped on whom no other trial is ahead at this rung, nor before `minimum_peers` have been both
    here and at full length.
    """

    noise: Noise
    minimum_peers: int
    confidence: float

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here = trial.at(trial.step)
        ends = [(at, end) for peer in peers if (at := peer.at(trial.step)) and (end := peer.at(full_steps))]
        if here is None or len(ends) < self.minimum_peers:
            return ""
        if not any(peer.dominates(here) for peer in points_at(peers, trial.step)):
            return ""
        objectives, stated = here.objectives, self.noise.at(full_steps).deviations(here.objectives)
        expected, best = [], []
        for place, (objective, least) in enumerate(zip(objectives, stated, strict=True)):
            columns = [at.even[place] for at, _ in ends], [end.even[place] for _, end in ends]
            found = predicted(*columns, here.even[place])
            if found is None:
                return ""
            reach = found.reach(self.confidence, least or 0.0)
            at_best = found.value - reach if objective.lower_is_better else found.value + reach
            expected.append(objective.from_even(found.value))
            best.append(objective.from_even(at_best))
        ahead = [end for _, end in ends if end.dominates(Point(tuple(best), objectives))]
        if not ahead:
            return ""
        named = [
            f"{each.label} {each.roughly(value)}" for each, value in zip(objectives, expected, strict=True)
        ]
        return (
            f"will not reach the front: at step {full_steps} expected {' and '.join(named)}, "
            f"at best {_rough(objectives, best)} ({self.confidence:.0%} each, from "
            f"{len(ends)} complete trials); one of them has {_rough(objectives, ahead[0].values)}"
        )


@dataclass(frozen=True)
class Prediction:
    """`value` is the most likely end; `deviation` of the residuals with `freedom` degrees of freedom;
    `widening` is what the fitted line's own uncertainty makes of it at this place (1 for a known line)."""

    value: float
    deviation: float
    freedom: int
    widening: float

    def reach(self, confidence: float, least_deviation: float) -> float:
        """How far from `value` the end lies at most, on one side, with this confidence."""
        from scipy.stats import t

        quantile = float(t.ppf(confidence, self.freedom))
        return quantile * max(self.deviation, least_deviation) * self.widening


def predicted(at: Sequence[float], ends: Sequence[float], here: float) -> Prediction | None:
    """The end of a curve that is `here` now, from what others had then (`at`) and in the end.

    None where a line says nothing: fewer than three others, or all of them at one place.
    """
    if len(at) < LEAST_PEERS:
        return None
    middle, end_middle = fmean(at), fmean(ends)
    spread = math.fsum((x - middle) ** 2 for x in at)
    if spread <= 1e-12 * max(1.0, middle * middle):
        return None
    slope = math.fsum((x - middle) * (y - end_middle) for x, y in zip(at, ends, strict=True)) / spread
    slope = max(slope, 0.0)  # being behind now never promises to be ahead in the end
    residuals = [y - end_middle - slope * (x - middle) for x, y in zip(at, ends, strict=True)]
    freedom = len(at) - 2
    return Prediction(
        value=end_middle + slope * (here - middle),
        deviation=math.sqrt(math.fsum(r * r for r in residuals) / freedom),
        freedom=freedom,
        widening=math.sqrt(1 + 1 / len(at) + (here - middle) ** 2 / spread),
    )


def _rough(objectives: Objectives, values: Sequence[float]) -> str:
    return " and ".join(each.roughly(value) for each, value in zip(objectives, values, strict=True))

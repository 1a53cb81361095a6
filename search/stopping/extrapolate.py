"""Where a learning curve will end: a line through what earlier trials made of the same rung.

The model, for log FID and for CLIP alike: over the trials that are recorded at this rung and at full length,
the final score is a straight line of the score at this rung, fitted by least squares, its slope not negative.
A new trial's final score then lies within the textbook's prediction interval: Student's t with n - 2 degrees
of freedom, times the residual deviation (never less than one run's stated noise), times
sqrt(1 + 1/n + (x - mean)^2 / Sxx). Who is halted is decided by earlier scores, on which the line depends, and
not by the end that it predicts: that the halted ones never got there does not bend it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from search.statistics.curves import Curve, points_at
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule
from space.shared.plain import InputError

MOST_LOG_FID = 700.0  # beyond it a float overflows
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

    def make(self, noise: Noise) -> StoppingRule:
        return ExtrapolatingRule(noise, self.minimum_peers, self.confidence)


@dataclass(frozen=True)
class ExtrapolatingRule:
    """Halts a trial that will not reach the Pareto front of the complete ones: even with FID and CLIP at the
    favourable ends of their prediction intervals (each one-sided, at `confidence`), a complete trial is at
    least as good in both and better in one.

    Nobody is halted on whom no other trial is ahead at this rung, nor before `minimum_peers` have been both
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
        at_end = self.noise.at(full_steps)
        fid = predicted([at.log_fid for at, _ in ends], [end.log_fid for _, end in ends], here.log_fid)
        clip = predicted([at.clip for at, _ in ends], [end.clip for _, end in ends], here.clip)
        if fid is None or clip is None:
            return ""
        best = Point(
            _fid(fid.value - fid.reach(self.confidence, at_end.fid_relative)),
            clip.value + clip.reach(self.confidence, at_end.clip),
        )
        ahead = [end for _, end in ends if end.dominates(best)]
        if not ahead:
            return ""
        return (
            f"will not reach the front: at step {full_steps} expected FID {_fid(fid.value):.1f} and CLIP "
            f"{clip.value:.3f}, at best {best.fid:.1f} and {best.clip:.3f} ({self.confidence:.0%} each, from "
            f"{len(ends)} complete trials); one of them has {ahead[0].fid:.1f} and {ahead[0].clip:.3f}"
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


def _fid(logarithm: float) -> float:
    return math.exp(min(logarithm, MOST_LOG_FID))

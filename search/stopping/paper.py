"""The paper's rule (section 5.1): stopped when FID or CLIP improve more slowly than earlier trials' did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.objectives import Objective
from search.statistics.curves import Curve, points_at
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule, check_peers
from space.shared.plain import InputError


@dataclass(frozen=True)
class PaperSettings:
    """`minimum_peers` must be recorded at a rung before anyone is stopped there; `quantile` of their
    improvements is the bar; `deviations` of one run count as lagging, `ahead_deviations` as being ahead."""

    name: Literal["paper"] = "paper"
    minimum_peers: int = 3
    quantile: float = 0.5
    deviations: float = 1.0
    ahead_deviations: float = 2.0

    def __post_init__(self) -> None:
        check_peers(self.minimum_peers)
        if not 0 < self.quantile < 1:
            raise InputError(f"quantile: {self.quantile} is not a quantile; allowed: between 0 and 1")
        for name in ("deviations", "ahead_deviations"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")

    def make(self, noise: Noise) -> StoppingRule:
        return PaperRule(noise, self.minimum_peers, self.quantile, self.deviations, self.ahead_deviations)


@dataclass(frozen=True)
class PaperRule:
    """Stops a trial whose improvement since the start lags that of its peers (a quantile of them) beyond
    the noise in FID or in CLIP, and is ahead of it beyond the noise in neither. Further objectives likewise;
    one whose noise is not known says nothing.

    "Lags in either, ahead in neither": a network without cross-attention can have the best FID of all at
    the first rung, so stopping on FID alone keeps it; asking both to lag keeps it too. For the same reason
    being ahead takes more deviations than lagging: a far too narrow network was ahead in FID by nearly two.
    Improvement counts since the start, since from one rung to the next it is inside the noise.
    """

    noise: Noise
    minimum_peers: int
    quantile: float
    deviations: float
    ahead_deviations: float

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here, others = trial.at(trial.step), points_at(peers, trial.step)
        if here is None or len(others) < self.minimum_peers:
            return ""
        noise = self.noise.at(trial.step)
        leads = []
        for place, objective in enumerate(here.objectives):
            if (stated := noise.deviation(objective)) is not None:
                columns = [point.values[place] for point in (start, here, *others)]
                leads.append(_lead(objective, columns[0], columns[1], columns[2:], self.quantile, stated))
        if any(lead.ahead_by > self.ahead_deviations * lead.deviation for lead in leads):
            return ""
        lags = [
            lead.text(self.deviations, "improved " if lead.objective == here.objectives[0] else "")
            for lead in leads
            if lead.ahead_by < -(self.deviations * lead.deviation)
        ]
        return "slower than earlier trials: " + "; ".join(lags) if lags else ""


@dataclass(frozen=True)
class _Lead:
    """How much a trial has improved in one objective since the start, the `bar` that its peers set, and one
    run's deviation there."""

    objective: Objective
    improved: float
    bar: float
    deviation: float

    @property
    def ahead_by(self) -> float:
        return self.improved - self.bar

    def text(self, deviations: float, verb: str) -> str:
        improved, bar, noise = map(
            self.objective.roughly, (self.improved, self.bar, deviations * self.deviation)
        )
        return f"{self.objective.label} {verb}by {improved}, peers by {bar} (noise {noise})"


def _lead(
    objective: Objective,
    start: float,
    here: float,
    others: Sequence[float],
    quantile: float,
    stated: float,
) -> _Lead:
    bar = _quantile([_improvement(objective, start, other) for other in others], quantile)
    at_bar = start - bar if objective.lower_is_better else start + bar
    deviation = stated * abs(at_bar) if objective.scale == "log" else stated
    return _Lead(objective, _improvement(objective, start, here), bar, deviation)


def _improvement(objective: Objective, start: float, value: float) -> float:
    return start - value if objective.lower_is_better else value - start


def _quantile(values: Sequence[float], quantile: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(values)
    place = quantile * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])

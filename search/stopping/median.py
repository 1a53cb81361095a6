"""Stopped when worse than the median of the peers in all objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from search.statistics.curves import Curve, points_at
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule, check_peers


@dataclass(frozen=True)
class MedianSettings:
    """`minimum_peers` must be recorded at a rung before anyone is stopped there."""

    name: Literal["median"] = "median"
    minimum_peers: int = 3

    def __post_init__(self) -> None:
        check_peers(self.minimum_peers)

    def make(self, noise: Noise) -> StoppingRule:
        return MedianRule(self.minimum_peers)


@dataclass(frozen=True)
class MedianRule:
    """Stops a trial that is worse than the median of its peers in all objectives; knows no noise."""

    minimum_peers: int

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here, others = trial.at(trial.step), points_at(peers, trial.step)
        if here is None or len(others) < self.minimum_peers:
            return ""
        behind = []
        for place, (objective, value) in enumerate(zip(here.objectives, here.values, strict=True)):
            middle = median(peer.values[place] for peer in others)
            if not objective.loss(value) > objective.loss(middle):
                return ""
            sign = ">" if objective.lower_is_better else "<"
            behind.append(f"{objective.label} {objective.roughly(value)} {sign} {objective.roughly(middle)}")
        return f"below the median: {' and '.join(behind)}"

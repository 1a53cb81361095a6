"""Asynchronous successive halving (Li et al., 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.statistics.curves import Curve, points_at
from search.statistics.noise import Noise
from search.statistics.pareto import Point, fronts, rank_sums
from search.stopping.base import StoppingRule, check_peers
from space.shared.plain import InputError


@dataclass(frozen=True)
class AshaSettings:
    """The best 1/`reduction` at a rung go on, where `minimum_peers` others are recorded."""

    name: Literal["asha"] = "asha"
    minimum_peers: int = 1
    reduction: float = 2.0

    def __post_init__(self) -> None:
        check_peers(self.minimum_peers)
        if self.reduction <= 1:
            raise InputError(f"reduction: {self.reduction} keeps everybody; allowed: more than 1")

    def make(self, noise: Noise) -> StoppingRule:
        return AshaRule(self.minimum_peers, self.reduction)


@dataclass(frozen=True)
class AshaRule:
    """Asynchronous successive halving: goes on if among the best 1/reduction of all recorded at this rung,
    by non-dominated front, and within a front by the sum of the ranks in each objective."""

    minimum_peers: int
    reduction: float

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here, others = trial.at(trial.step), points_at(peers, trial.step)
        if here is None or len(others) < self.minimum_peers:
            return ""
        points = [*others, here]
        keys = list(zip(fronts(points), rank_sums(points), strict=True))
        place = sum(key < keys[-1] for key in keys) + 1
        kept = max(1, math.ceil(len(points) / self.reduction))
        if place <= kept:
            return ""
        return f"place {place} of {len(points)} at step {trial.step}; the best {kept} go on"

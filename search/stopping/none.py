"""Every trial runs to full length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.statistics.curves import Curve
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule


@dataclass(frozen=True)
class NoStoppingSettings:
    name: Literal["none"] = "none"

    def make(self, noise: Noise) -> StoppingRule:
        return NoStopping()


@dataclass(frozen=True)
class NoStopping:
    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        return ""

"""A trial's learning curve: its objectives' scores at each rung that it reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from search.statistics.pareto import Point


@dataclass(frozen=True)
class Curve:
    """The `points` (FID and CLIP, and what else decides) at rising `steps`; empty before the first rung."""

    steps: tuple[int, ...] = ()
    points: tuple[Point, ...] = ()

    def at(self, step: int) -> Point | None:
        """The scores at a rung; None where there are none, or where they are not finite numbers."""
        if step not in self.steps:
            return None
        point = self.points[self.steps.index(step)]
        return point if all(map(isfinite, point.values)) else None

    @property
    def step(self) -> int:
        """The last rung reached; 0 before the first."""
        return self.steps[-1] if self.steps else 0


def points_at(curves: Iterable[Curve], step: int) -> list[Point]:
    """The scores of those curves that have finite ones at a rung, in their order."""
    return [point for curve in curves if (point := curve.at(step)) is not None]

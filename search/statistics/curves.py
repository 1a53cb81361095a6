"""A trial's learning curve: its scores at each rung that it reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from search.objectives import Objective
from search.statistics.pareto import Point


@dataclass(frozen=True)
class Curve:
    """The `points` (FID and CLIP, and what else decides) at rising `steps`; empty before the first rung.
    `scores` holds at each step all that was recorded there, by full names; empty where that is not known."""

    steps: tuple[int, ...] = ()
    points: tuple[Point, ...] = ()
    scores: tuple[Mapping[str, float], ...] = field(default=(), compare=False, repr=False)

    def at(self, step: int) -> Point | None:
        """The objectives at a rung; None where there are none, or where they are not finite numbers."""
        if step not in self.steps:
            return None
        point = self.points[self.steps.index(step)]
        return point if all(map(isfinite, point.values)) else None

    def score(self, score: Objective, step: int) -> float | None:
        """Any recorded score at a rung, objective or not; None as `at` has it."""
        point = self.at(step)
        if point is None:
            return None
        if score in point.objectives:
            return point.values[point.objectives.index(score)]
        found = self.scores[self.steps.index(step)].get(score.name) if self.scores else None
        return found if found is not None and isfinite(found) else None

    @property
    def step(self) -> int:
        """The last rung reached; 0 before the first."""
        return self.steps[-1] if self.steps else 0


def points_at(curves: Iterable[Curve], step: int) -> list[Point]:
    """The objectives of those curves that have finite ones at a rung, in their order."""
    return [point for curve in curves if (point := curve.at(step)) is not None]

"""The scores of recorded trials, and who leads by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from search.objectives import Objectives
from search.runs.record import Trial
from search.statistics.curves import Curve
from search.statistics.noise import Noise, beats
from search.statistics.pareto import Point, best_order, fronts
from space.shared.plain import InputError, nearest


def point_in(scores: Mapping[str, float], objectives: Objectives) -> Point | None:
    """The objectives among scores by name; None where one is missing."""
    values = tuple([scores.get(objective.name) for objective in objectives])
    return None if None in values else Point(cast("tuple[float, ...]", values), objectives)


def all_of(scores: Mapping[str, float], objectives: Objectives) -> Point:
    """The objectives among scores by name.

    Raises:
        InputError: one that is not among them.
    """
    point = point_in(scores, objectives)
    if point is None:
        name = next(objective.name for objective in objectives if objective.name not in scores)
        raise InputError(f"objectives: {name!r} is no score of this search; {nearest(name, scores)}")
    return point


def point_of(trial: Trial, objectives: Objectives, step: int | None = None) -> Point | None:
    """The objectives' scores of a trial at a step (its last by default); None where it has none."""
    for rung in reversed(trial.rungs):
        if step is None or rung.step == step:
            return point_in(rung.scores, objectives)
    return None


def best_first(trials: Sequence[Trial], objectives: Objectives) -> list[Trial]:
    """Complete trials, best first, as `best_order` has it."""
    complete = [
        (trial, point)
        for trial in trials
        if trial.state == "complete" and (point := point_of(trial, objectives))
    ]
    return [complete[index][0] for index in best_order([point for _, point in complete])]


def within_noise(trials: Sequence[Trial], objectives: Objectives, noise: Noise) -> list[Trial]:
    """Complete trials that no other beats beyond the noise of two runs, best first: by one run each it cannot
    be said who of them is best.

    Whom anyone beats, somebody on the front does, so only the front is asked.
    """
    ordered = best_first(trials, objectives)
    points = [point for trial in ordered if (point := point_of(trial, objectives)) is not None]
    front = [point for point, rank in zip(points, fronts(points), strict=True) if rank == 0]
    return [
        trial
        for trial, point in zip(ordered, points, strict=True)
        if not any(beats(other, point, noise, trial.last_step) for other in front)
    ]


def curve_of(trial: Trial, objectives: Objectives) -> Curve:
    """The rungs of a trial that hold all objectives."""
    scored = [
        (rung.step, point, rung.scores)
        for rung in trial.rungs
        if (point := point_in(rung.scores, objectives)) is not None
    ]
    return Curve(*map(tuple, zip(*scored, strict=True))) if scored else Curve()

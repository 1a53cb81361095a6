"""The scores of recorded trials, and who leads by them."""

from __future__ import annotations

from collections.abc import Sequence

from search.objectives import Objectives
from search.runs.record import Trial
from search.statistics.curves import Curve
from search.statistics.noise import Noise, beats
from search.statistics.pareto import (
    Point,
    best_order,
    fronts,
)


def point_of(trial: Trial, objectives: Objectives, step: int | None = None) -> Point | None:
    """The two scores of a trial at a step (its last by default); None where it has none."""
    fid, clip = trial.score(objectives.fid, step), trial.score(objectives.clip, step)
    return None if fid is None or clip is None else Point(fid, clip)


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
    """The rungs of a trial that hold both scores."""
    scored = [
        (rung.step, Point(rung.scores[objectives.fid], rung.scores[objectives.clip]))
        for rung in trial.rungs
        if objectives.fid in rung.scores and objectives.clip in rung.scores
    ]
    return Curve(tuple(step for step, _ in scored), tuple(point for _, point in scored))

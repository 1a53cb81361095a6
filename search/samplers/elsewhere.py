"""What a sampler that learns from standings may know of trials of other protocols."""

from __future__ import annotations

from search.objectives import objectives_from_plain
from search.runs.record import History
from search.runs.scores import curve_of
from search.samplers.base import Observation
from search.statistics.curves import Curve


def observations_elsewhere(history: History) -> list[Observation]:
    """Their curves, by their own objectives, at steps that no trial of another group has: below zero. So they
    stand among each other alone, wherever trials are ranked rung by rung."""
    known = history.elsewhere
    groups = {group: place for place, group in enumerate(dict.fromkeys(group for _, group, _ in known), 1)}
    longest = 1 + max((trial.last_step for trial, _, _ in known), default=0)
    found = []
    for trial, group, objectives in known:
        curve = curve_of(trial, objectives_from_plain(objectives))
        if not curve.steps:  # without all of its objectives anywhere: it stands nowhere, and does not run
            continue
        steps = tuple(step - groups[group] * longest for step in curve.steps)
        found.append(Observation(trial.number, trial.params or {}, None, {}, Curve(steps, curve.points)))
    return found

"""Where a run stands, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from search.formats import counted
from search.runs.header import trials_asked
from search.runs.record import History, Trial


def stage(history: History) -> str:
    """In a few words: `searching: 5 of 12 trials have ended, 2 are under way`."""
    if not history.by_key:
        return "preparing: no trial has been started"
    asked, ended = trials_asked(history), _ended(history.trials)
    if ended < asked or not history.confirmations:
        return f"searching: {ended} of {asked} trials have ended, {_under_way(history.trials)}"
    runs = history.confirmations
    return f"confirming: {counted(_ended(runs), 'run')} {'has' if _ended(runs) == 1 else 'have'} ended, " + (
        _under_way(runs)
    )


def _ended(trials: Sequence[Trial]) -> int:
    return sum(trial.state != "running" for trial in trials)


def _under_way(trials: Sequence[Trial]) -> str:
    under_way = sum(trial.state == "running" for trial in trials)
    return f"{under_way} {'is' if under_way == 1 else 'are'} under way"

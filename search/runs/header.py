"""What a run was asked for: its objectives, noise, trials and reference points, from its record."""

from __future__ import annotations

from search.objectives import Objectives, objectives_from_plain
from search.runs.record import History
from search.statistics.noise import Noise, noise_from_plain
from space.choices import Space
from space.shared.plain import from_plain


def objectives_of(history: History) -> Objectives:
    return objectives_from_plain(history.header.get("objectives"))


def noise_of(history: History) -> Noise | None:
    """The noise that the run stated; None before its header is written."""
    plain = history.header.get("noise")
    return noise_from_plain(plain) if plain else None


def space_of(history: History) -> Space:
    """Raises InputError before the header is written."""
    space: Space = from_plain(Space, history.header.get("space"), "space")
    return space


def trials_asked(history: History) -> int:
    """How many trials the search is to have: a resumed one may ask for more than it was begun with."""
    latest = [history.header, *history.sessions][-1]
    return int(latest.get("trials", history.header.get("trials", 0)))


def references_of(history: History) -> list[str]:
    """Names of confirmed networks that are no trial of the search: the reference points."""
    of_search = {trial.name for trial in history.trials}
    return list(dict.fromkeys(t.name for t in history.confirmations if t.name not in of_search))

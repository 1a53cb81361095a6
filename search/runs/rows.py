"""What a run says as rows of a table, a trial or an evaluation each, with scores and choices as columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from search.formats import ending
from search.objectives import CLIP, FID, VALIDATION_LOSS
from search.runs.header import objectives_of
from search.runs.record import History, Trial
from space.candidates import Candidate
from space.decoder_space import any_space
from space.search_space import AnySpace
from space.shared.plain import InputError

TRIAL_COLUMNS = (
    "number",
    "state",
    "reason",
    "architecture",
    "parameters",
    "gmacs",
    "proxy_parameters",
    "steps",
    "fid",
    "clip",
    "validation_loss",
    "seconds",
    "seed",
)
COLUMN_OF = {FID: "fid", CLIP: "clip"}  # of objectives, by their labels


class Choices:
    """The choices of a run's space at an architecture, by name ("level_3.channels"); of what has no effect
    there, as where a level without layers attends, and of networks outside the space, None."""

    def __init__(self, space: AnySpace | None) -> None:
        self.space = space
        self.names = list(self.space.free()) if self.space else []
        self.nothing: dict[str, Any] = dict.fromkeys(self.names)
        self.known: dict[str, dict[str, Any]] = {}

    def at(self, architecture: Candidate) -> dict[str, Any]:
        if architecture.id not in self.known:
            self.known[architecture.id] = self.nothing | self._active(architecture)
        return self.known[architecture.id]

    def _active(self, architecture: Candidate) -> dict[str, Any]:
        if self.space is None:
            return {}
        try:
            params = self.space.encode(architecture)
        except InputError:
            return {}
        ignored = self.space.ignored(architecture)
        return {name: value for name, value in params.items() if name not in ignored}


def choices_of(history: History) -> Choices:
    """Kept from one writing of the tables to the next: a search has thousands of trials."""
    return _choices_of(json.dumps(history.header.get("space"), sort_keys=True))


@lru_cache(maxsize=8)
def _choices_of(space: str) -> Choices:
    plain = json.loads(space)
    return Choices(any_space(plain) if plain else None)


def trial_rows(history: History) -> tuple[list[str], list[dict[str, Any]]]:
    """Column names and a row for each trial of the search.

    `parameters` and `gmacs` are at the paper's scale, `steps` those that were trained, `fid` and `clip` the
    first two objectives, if that is what they are; every other score follows under its full name, then the
    choices. What was not measured is None.
    """
    choices, objectives = choices_of(history), objectives_of(history)
    named = {COLUMN_OF[each.label]: each.name for each in objectives if each.label in COLUMN_OF}
    columns = [column for column in TRIAL_COLUMNS if column in named or column not in COLUMN_OF.values()]
    others = _scores(history.trials, {*named.values(), VALIDATION_LOSS})
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            "reason": ending(trial),
            "architecture": trial.architecture.id,
            "parameters": trial.cost.parameters,
            "gmacs": trial.cost.gmacs,
            "proxy_parameters": trial.proxy_parameters,
            "steps": trial.last_step,
            **{column: trial.score(name) for column, name in named.items()},
            "validation_loss": trial.score(VALIDATION_LOSS),
            "seconds": round(trial.seconds, 3),
            "seed": trial.seed,
        }
        | {name: trial.score(name) for name in others}
        | choices.at(trial.architecture)
        for trial in history.trials
    ]
    return [*columns, *others, *choices.names], rows


def rung_rows(history: History) -> tuple[list[str], list[dict[str, Any]]]:
    """Column names and a row for each evaluation, of confirmation runs and shared trainings too: whose it
    was, at which step, what was decided, seconds since the one before, every score under its full name, and
    the choices."""
    choices, trials = choices_of(history), [*history.shared, *history.trials, *history.confirmations]
    scores = _scores(trials, set())
    rows: list[dict[str, Any]] = [
        {
            "key": trial.key,
            "purpose": trial.purpose,
            "name": trial.name,
            "architecture": trial.architecture.id,
            "parameters": trial.cost.parameters,
            "gmacs": trial.cost.gmacs,
            "seed": trial.seed,
            "step": rung.step,
            "decision": rung.decision,
            "seconds": round(sum(rung.seconds.values()), 3),
        }
        | {name: rung.scores.get(name) for name in scores}
        | choices.at(trial.architecture)
        for trial in trials
        for rung in trial.rungs
    ]
    return [*RUNG_COLUMNS, *scores, *choices.names], rows


RUNG_COLUMNS = (
    "key",
    "purpose",
    "name",
    "architecture",
    "parameters",
    "gmacs",
    "seed",
    "step",
    "decision",
    "seconds",
)


def _scores(trials: Iterable[Trial], left_out: set[str]) -> list[str]:
    """Names of all scores that these trials hold, in order."""
    rungs: Iterable[Mapping[str, float]] = (rung.scores for trial in trials for rung in trial.rungs)
    return sorted({name for scores in rungs for name in scores} - left_out)

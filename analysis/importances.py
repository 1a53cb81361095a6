"""What a search's choices explain of its scores, and what chance would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from search.runs.header import objectives_of
from search.runs.record import History
from search.runs.scores import point_of

LEAST_TRIALS_FOR_IMPORTANCES = 8
MOST_TRIALS_FOR_IMPORTANCES = 100  # the latest: a regression on more says the same, slower
SHUFFLES = 2


@dataclass(frozen=True)
class Importances:
    """Shares of the variance that each choice explains (fANOVA), by objective, the largest sum first.

    `shares` and `chance` go by the objectives' labels. `chance` is the largest share that any choice reached
    when the scores were shuffled, a mean over `SHUFFLES`: what lies below it says nothing.
    """

    trials: int
    shares: dict[str, dict[str, float]]
    chance: dict[str, float]

    @property
    def choices(self) -> list[str]:
        return list(next(iter(self.shares.values())))


def importances(history: History) -> Importances | None:
    """What the choices explain of the complete trials' scores; None for too few trials."""
    objectives = objectives_of(history)
    scored = [
        (trial.params, point)
        for trial in history.trials
        if trial.state == "complete" and trial.params and (point := point_of(trial, objectives)) is not None
    ][-MOST_TRIALS_FOR_IMPORTANCES:]
    params = [params for params, _ in scored]
    names = [
        name
        for name in (params[0] if params else {})
        if all(name in chosen for chosen in params) and len({chosen[name] for chosen in params}) > 1
    ]
    if len(scored) < LEAST_TRIALS_FOR_IMPORTANCES or not names:
        return None
    choices = [{name: values[name] for name in names} for values in params]
    columns = {
        objective.label: [point.values[place] for _, point in scored]
        for place, objective in enumerate(objectives)
    }
    shares = {label: _explained(choices, values) for label, values in columns.items()}
    order = sorted(names, key=lambda name: -sum(own[name] for own in shares.values()))
    return Importances(
        len(scored),
        {label: {name: own[name] for name in order} for label, own in shares.items()},
        {label: _explained_by_chance(choices, values) for label, values in columns.items()},
    )


def _explained_by_chance(params: Sequence[dict[str, Any]], values: Sequence[float]) -> float:
    generator = random.Random(0)
    return fmean(
        max(_explained(params, generator.sample(values, len(values))).values()) for _ in range(SHUFFLES)
    )


def _explained(params: Sequence[dict[str, Any]], values: Sequence[float]) -> dict[str, float]:
    """fANOVA of one objective. Each choice counts as its place among its values in order."""
    import optuna
    from optuna.distributions import BaseDistribution, IntDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(set(values)) == 1:
        return dict.fromkeys(params[0], 0.0)
    places = {
        name: {value: place for place, value in enumerate(sorted({chosen[name] for chosen in params}))}
        for name in params[0]
    }
    domains: dict[str, BaseDistribution] = {
        name: IntDistribution(0, len(place) - 1) for name, place in places.items()
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: places[name][value] for name, value in choices.items()},
                    distributions=dict(domains),
                    value=score,
                )
                for choices, score in zip(params, values, strict=True)
            ]
        )
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=24, seed=0))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(found.get(name, 0.0)) for name in params[0]}

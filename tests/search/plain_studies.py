"""Samplers under a hard budget, and plain studies of Optuna's that they are tried in."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.study import Study

from mdsearch import HardBudgetSampler, LassoSampler, LinearSampler
from search.toy import BUDGET, SPACE, scores_at
from space.architecture import Architecture

Make = Callable[[int], BaseSampler]


def under_budget(inner: Callable[[int], BaseSampler]) -> Make:
    return lambda seed: HardBudgetSampler(inner(seed), SPACE, BUDGET, seed=seed)


SAMPLERS: dict[str, Make] = {
    "linear": lambda seed: LinearSampler(SPACE, BUDGET, seed=seed),
    "lasso": lambda seed: LassoSampler(SPACE, BUDGET, seed=seed),
    "tpe": under_budget(
        lambda seed: optuna.samplers.TPESampler(n_startup_trials=3, multivariate=True, seed=seed)
    ),
    "nsga2": under_budget(lambda seed: optuna.samplers.NSGAIISampler(population_size=4, seed=seed)),
    "random": under_budget(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
}
every_sampler = pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
BOTH = ["minimize", "maximize"]


def study_of(sampler: BaseSampler, directions: list[str] = BOTH, **where: Any) -> Study:
    return optuna.create_study(directions=directions, sampler=sampler, **where)


def scored(trial: Any) -> tuple[float, ...]:
    return scores_at(SPACE.sample(trial), 400).values


def networks(study: Study) -> list[Architecture]:
    """Of all trials that have choices, in order."""
    return [SPACE.sample(optuna.trial.FixedTrial(t.params)) for t in study.trials if t.params]


def assert_fit_and_new(study: Study) -> None:
    found = networks(study)
    assert not [network for network in found if BUDGET.excess(network)]
    assert len({network.id for network in found}) == len(found) > 0


def some_params(fits: bool, seed: int = 0) -> dict[str, Any]:
    chance = random.Random(seed)
    while True:
        params = {name: chance.choice(values) for name, values in SPACE.free().items()}
        if bool(BUDGET.excess(SPACE.architecture(SPACE.pinned() | params))) != fits:
            return params


SPACE_DISTRIBUTIONS = LinearSampler(SPACE).distributions

"""One contract over all of Optuna's samplers under a hard budget, ours among them, in plain studies."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from mdsearch import LinearSampler, report_scores
from search.runs.record import MemoryRecord
from search.samplers.linear import LinearSettings
from search.stopping.none import NoStopping
from search.toy import BUDGET, SPACE, drive, quality, scores_at, search_in
from tests.search.plain_studies import (
    BOTH,
    SAMPLERS,
    SPACE_DISTRIBUTIONS,
    Make,
    assert_fit_and_new,
    every_sampler,
    networks,
    scored,
    some_params,
    study_of,
)

pytestmark = pytest.mark.usefixtures("quick_and_quiet")


@every_sampler
@pytest.mark.parametrize("directions", [["minimize"], ["maximize"], BOTH, [*BOTH, "minimize"]])
def test_every_trial_fits_and_is_new_whatever_failed_or_was_pruned(make: Make, directions: list[str]) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        network = SPACE.sample(trial)
        if trial.number % 4 == 1:
            raise ArithmeticError
        if trial.number % 4 == 2:
            report_scores(trial, 100, *([1.0] * len(directions)))
            raise optuna.TrialPruned
        return (*scores_at(network, 400).values, float("nan" if trial.number == 3 else 1))[: len(directions)]

    study = study_of(make(0), directions)
    study.optimize(objective, n_trials=12, catch=ArithmeticError)
    states = [trial.state for trial in study.trials]
    assert len(states) == 12 and {TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE} == {*states}
    assert_fit_and_new(study)


@every_sampler
def test_trials_asked_in_parallel_differ_and_may_be_told_in_any_order(make: Make) -> None:
    study = study_of(make(0))
    study.optimize(scored, n_trials=4)
    asked = [study.ask() for _ in range(5)]
    scores = {trial.number: scored(trial) for trial in asked}  # sampled once all are asked
    for trial in reversed(asked):
        study.tell(trial, scores[trial.number])
    assert len(study.trials) == 9
    assert_fit_and_new(study)


@every_sampler
def test_threads_of_one_study_try_no_network_twice(make: Make) -> None:
    study = study_of(make(0))
    study.optimize(scored, n_trials=10, n_jobs=3)
    assert len(study.trials) == 10
    assert_fit_and_new(study)


@every_sampler
def test_trials_of_another_process_count(make: Make, tmp_path: Path) -> None:
    """Two processes with samplers of their own have nothing in common but the storage."""

    def storage() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(tmp_path / "journal")))

    one = study_of(make(0), storage=storage(), study_name="both")
    other = optuna.load_study(study_name="both", storage=storage(), sampler=make(0))
    for study in (one, other, one, other):
        study.optimize(scored, n_trials=2)
    waiting = [one.ask(), other.ask()]  # under way in both
    for trial in waiting:
        scored(trial)
    one.optimize(scored, n_trials=2)
    assert len(one.trials) == 12
    assert_fit_and_new(one)


@every_sampler
def test_a_seed_gives_the_same_trials_another_or_a_new_one_others(make: Make) -> None:
    def tried(seed: int, reseed: bool = False) -> list[str]:
        sampler = make(seed)
        if reseed:
            sampler.reseed_rng()
        study = study_of(sampler)
        study.optimize(scored, n_trials=5)
        return [network.id for network in networks(study)]

    found = tried(1)
    assert tried(1) == found != tried(2)
    assert found != tried(1, reseed=True)


@every_sampler
def test_parameters_of_the_users_own_stand_beside(make: Make) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        rate = trial.suggest_float("rate", 0.1, 1.0, log=True)
        return tuple(rate * score for score in scored(trial))

    study = study_of(make(0))
    study.optimize(objective, n_trials=8)
    assert len({trial.params["rate"] for trial in study.trials}) > 2
    assert_fit_and_new(study)


# ---------------------------------------------------------------------- what is learnt


@pytest.mark.parametrize("name", ["linear", "tpe"])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_both_directions_lead_where_they_should(name: str, direction: str) -> None:
    def value(trial: optuna.Trial) -> float:
        return quality(SPACE.sample(trial))

    study = study_of(SAMPLERS[name](0), [direction])
    study.optimize(value, n_trials=26)
    early, late = (fmean(trial.value for trial in part) for part in (study.trials[:8], study.trials[18:]))
    assert late > early + 0.05 if direction == "maximize" else late < early - 0.05


def test_ours_learns_from_pruned_trials_by_what_they_reported() -> None:
    """All are pruned at the first rung, by one objective as Optuna reports it, by two as we do."""

    def objective(trial: optuna.Trial) -> float:
        at = scores_at(SPACE.sample(trial), 100)
        if len(trial.study.directions) == 1:
            trial.report(at.fid, 100)
        else:
            report_scores(trial, 100, *at.values)
        raise optuna.TrialPruned

    for directions in (["minimize"], BOTH):
        study = study_of(LinearSampler(SPACE, BUDGET, seed=0), directions)
        study.optimize(objective, n_trials=14)
        found = [quality(network) for network in networks(study)]
        assert fmean(found[6:]) > fmean(found[:4]) + 0.15


def test_a_study_tries_what_a_search_with_the_same_scores_tries() -> None:
    search = search_in(MemoryRecord(lambda: 0.0), LinearSettings().make(3), NoStopping(), trials=9)
    drive(search)
    sampler = LinearSampler(SPACE, BUDGET, seed=3)
    study = study_of(sampler)
    study.optimize(scored, n_trials=9)
    assert [network.id for network in networks(study)] == [t.architecture.id for t in search.history.trials]


def test_scores_that_are_complete_count_more_than_those_on_the_way() -> None:
    """Who was ahead at the first rung and ends last stands last: a study's last values are a rung too."""
    wide, narrow = (some_of_width(width) for width in (896, 512))
    study = study_of(LinearSampler(SPACE, seed=0), ["minimize"])
    for place, params in enumerate(pair for pairs in zip(wide, narrow, strict=True) for pair in pairs):
        trial = optuna.trial.create_trial(
            value=float(place % 2),
            params=params,
            distributions=SPACE_DISTRIBUTIONS,
            intermediate_values={1: float(1 - place % 2)},
        )
        study.add_trial(trial)
    assert SPACE.sample(study.ask()).levels[-1].channels == 896


def some_of_width(width: int, count: int = 6) -> list[dict[str, Any]]:
    return [some_params(fits=True, seed=seed) | {"level_2.channels": width} for seed in range(count)]

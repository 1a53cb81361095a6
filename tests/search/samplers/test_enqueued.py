"""Samplers under a hard budget: what is enqueued, what they cannot keep, and the contract of Optuna."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import TrialState

from mdsearch import HardBudgetSampler, InputError, LinearSampler
from search.testing import with_other_inactive
from search.toy import BUDGET, SPACE
from space.budget import Budget
from tests.search.plain_studies import (
    SPACE_DISTRIBUTIONS,
    Make,
    assert_fit_and_new,
    every_sampler,
    scored,
    some_params,
    study_of,
)

pytestmark = pytest.mark.usefixtures("quick_and_quiet")


@every_sampler
def test_enqueued_trials_come_first_and_nothing_proposed_repeats_them(make: Make) -> None:
    study, params = study_of(make(0)), some_params(fits=True)
    study.optimize(scored, n_trials=2)
    study.enqueue_trial(params)
    assert study.ask().number == 2 and study.sampler.network(params) is not None
    study.enqueue_trial(some_params(fits=True, seed=1))
    study.optimize(scored, n_trials=3)
    assert study.trials[3].params == some_params(fits=True, seed=1)
    assert_fit_and_new(study)


@every_sampler
def test_the_rest_of_a_partly_enqueued_trial_is_chosen_so_that_it_fits(make: Make) -> None:
    study = study_of(make(0))
    for _ in range(4):
        study.enqueue_trial({"level_2.channels": 896})
    study.optimize(scored, n_trials=6)
    assert [trial.params["level_2.channels"] for trial in study.trials[:4]] == [896] * 4
    assert_fit_and_new(study)


@every_sampler
def test_an_enqueued_trial_over_budget_or_not_in_the_space_is_refused_and_the_study_goes_on(
    make: Make,
) -> None:
    study = study_of(make(0))
    study.enqueue_trial(some_params(fits=False))
    study.enqueue_trial(some_params(fits=True) | {"level_2.channels": 700})
    study.enqueue_trial({"level_2.channels": 700})
    with pytest.raises(InputError, match=r"enqueued trial 0: over budget: .* > "):
        study.optimize(scored, n_trials=3)
    for number in (1, 2):
        with pytest.raises(InputError, match=rf"trial {number}: level_2.channels: 700 .* allowed: \[512, "):
            study.ask()
    study.optimize(scored, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3 + [TrialState.COMPLETE] * 2
    assert_fit_and_new(study)


def test_an_enqueued_name_that_no_choice_has_is_refused_unless_it_is_the_users_own() -> None:
    pinned = replace(SPACE, separable_expansion=(2,))
    study = study_of(LinearSampler(pinned, BUDGET, seed=0))
    study.enqueue_trial({"level_9.channels": 896})
    study.enqueue_trial({"separable_expansion": 4})
    study.enqueue_trial({"separable_expansion": 2, "learning_rate": 0.1})
    with pytest.raises(
        InputError, match=r"level_9.channels: no choice of the space, .*; did you mean 'level_2"
    ):
        study.ask()
    with pytest.raises(InputError, match=r"separable_expansion: 4 is not in the space; allowed: \[2\]"):
        study.ask()
    assert study.ask().suggest_float("learning_rate", 0.0, 1.0) == 0.1


def test_what_is_no_sampler_or_no_space_is_refused_when_it_is_made() -> None:
    with pytest.raises(InputError, match="sampler: 'tpe' is no sampler of Optuna's"):
        HardBudgetSampler("tpe", SPACE, BUDGET)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="space: 'md' is no space"):
        LinearSampler("md", BUDGET)  # type: ignore[arg-type]


@every_sampler
def test_an_enqueued_duplicate_is_refused_unless_the_first_failed(make: Make) -> None:
    params, study = some_params(fits=True), study_of(make(0))
    study.enqueue_trial(params)
    study.tell(study.ask(SPACE_DISTRIBUTIONS), state=TrialState.FAIL)
    study.enqueue_trial(params)  # once more
    study.optimize(scored, n_trials=1)
    assert study.trials[1].params == params
    study.enqueue_trial(with_other_inactive(params, 1))  # the same network
    with pytest.raises(InputError, match="enqueued trial 2: the network of trial 1"):
        study.ask()


def test_two_that_choose_one_network_at_once_do_not_both_keep_it() -> None:
    """As if the other process had chosen between this one's look at the study and its own choice."""
    alone = study_of(LinearSampler(SPACE, BUDGET, seed=0))
    first = SPACE.sample(alone.ask())
    study = study_of(LinearSampler(SPACE, BUDGET, seed=0))
    study.set_user_attr("mdsearch:chosen 7", [7, first.id])
    assert SPACE.sample(study.ask()).id != first.id


def test_what_the_sampler_cannot_keep_is_refused() -> None:
    fixed = optuna.samplers.PartialFixedSampler(
        {"level_2.channels": 896}, LinearSampler(SPACE, BUDGET, seed=0)
    )
    with pytest.raises(InputError, match=r"level_2.channels: fixed outside of the sampler"):
        study_of(fixed).optimize(scored, n_trials=1)


def test_a_sampler_that_proposes_but_one_network_is_led_to_others_and_told_when_there_are_none() -> None:
    only = {name: values[-1] for name, values in SPACE.free().items()}
    inner = optuna.samplers.PartialFixedSampler(only, optuna.samplers.RandomSampler(0))
    study = study_of(HardBudgetSampler(inner, SPACE, BUDGET, seed=0))
    study.optimize(scored, n_trials=3)
    assert_fit_and_new(study)
    with pytest.raises(InputError, match=r"budget: no network was found for trial 0"):
        study_of(HardBudgetSampler(inner, SPACE, Budget(1, 1), seed=0)).optimize(scored, n_trials=1)


class TestLinear(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: LinearSampler(SPACE, seed=0)


class TestHardBudget(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HardBudgetSampler(optuna.samplers.RandomSampler(seed=0), SPACE, seed=0)

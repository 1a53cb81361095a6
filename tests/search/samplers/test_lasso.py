"""The sampler that explores: its model beside scikit-learn's, and what it wants where nothing is known."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import Lasso, Ridge

from search.samplers.base import Observation
from search.samplers.lasso import PENALTY, PRIOR_VARIANCE, LassoSampler, LassoSettings
from search.samplers.linear import LinearSampler
from search.statistics.curves import Curve
from search.toy import BUDGET, RUNGS, SPACE, quality, scores_at
from space.architecture import Architecture
from tests.search.samplers.test_linear import sampled


def past_of(networks: list[tuple[dict, Architecture]]) -> list[Observation]:
    return [
        Observation(number, params, point, {}, Curve(RUNGS[-1:], (point,)))
        for number, (params, network) in enumerate(networks)
        if (point := scores_at(network, RUNGS[-1]))
    ]


def some_trials(count: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Properties and standings of trials, and properties of 20 candidates: all of them standardized."""
    chance = np.random.default_rng(0)
    everybody = chance.normal(size=(count + 20, 7))
    everybody = (everybody - everybody.mean(axis=0)) / everybody.std(axis=0)
    return everybody[:count], chance.normal(size=count), everybody[count:]


def deviation(rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Of a Gaussian process with a linear kernel and noise of variance 1."""
    scale = (PRIOR_VARIANCE / rows.shape[1]) ** 0.5
    process = GaussianProcessRegressor(DotProduct(0, sigma_0_bounds="fixed"), alpha=1.0, optimizer=None)
    process.fit(scale * rows, np.zeros(len(rows)))
    found: np.ndarray = process.predict(scale * candidates, return_std=True)[1]
    return found


def test_it_adds_what_is_not_known_to_what_ridge_and_lasso_expect() -> None:
    """After 10 trials ridge counts twice, lasso once; after 20 each as much."""
    for count, share in ((10, 2 / 3), (20, 1 / 2)):
        rows, scores, candidates = some_trials(count)
        centred = scores - scores.mean()
        by_lasso = Lasso(PENALTY, max_iter=10_000).fit(rows, centred).predict(candidates)
        by_ridge = Ridge(7 / PRIOR_VARIANCE, fit_intercept=False).fit(rows, centred).predict(candidates)
        expected = share * by_ridge + (1 - share) * by_lasso + deviation(rows, candidates)
        found = LassoSampler(SPACE, BUDGET, seed=0).promise(rows, scores, candidates)
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("trials", [0, 1, 2])
def test_where_nothing_is_known_it_wants_what_differs_most(trials: int) -> None:
    rows, scores = np.array([[0.0, 1.0], [1.0, 1.0]])[:trials], np.zeros(trials)
    candidates = np.array([[0.5, 1.0], [0.0, 9.0], [1.0, 1.0], [0.4, 1.2]])
    assert LassoSampler(SPACE, seed=0).promise(rows, scores, candidates).argmax() == 1
    assert LassoSampler(SPACE, seed=0).promise(rows[:0], scores[:0], candidates[:1]).tolist() == [0]


def test_of_a_trial_under_way_it_will_know() -> None:
    """It says nothing yet of what is good, but what is like it is no longer tried for what it may teach."""
    rows, scores, candidates = some_trials()
    scores[4:] = np.nan
    before = LassoSampler(SPACE, seed=0).promise(rows[:4], scores[:4], rows[4:])
    beside = LassoSampler(SPACE, seed=0).promise(rows, scores, rows[4:])
    assert (beside < before).all()
    sampler, networks = LassoSettings().make(0), [network for _, network in sampled(6)]
    first = sampler.rank(SPACE, networks, [], 0)[0]
    running = Observation(0, sampled(6)[first][0], None, {})
    assert sampler.rank(SPACE, networks, [running], 1)[0] != first
    assert LinearSampler(SPACE, seed=0).promise(rows, scores, candidates) == pytest.approx(
        LinearSampler(SPACE, seed=0).promise(rows[:4], scores[:4], candidates)
    )


def test_much_taught_it_ranks_by_what_is_good() -> None:
    candidates = [network for _, network in sampled(40, seed=2)]
    ranked = LassoSettings().make(0).rank(SPACE, candidates, past_of(sampled(40)), 40)
    best, worst = ([quality(candidates[place]) for place in part] for part in (ranked[:8], ranked[-8:]))
    assert fmean(best) > fmean(worst) + 0.3

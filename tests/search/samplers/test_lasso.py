"""The sampler that explores: its model beside scikit-learn's, and what it wants where nothing is known."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import Lasso

from search.samplers.base import Observation
from search.samplers.lasso import PENALTY, UNEXPLORED, LassoSampler, LassoSettings
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


def test_it_adds_what_is_not_known_to_what_lasso_expects() -> None:
    """The deviation is that of a Gaussian process with a linear kernel and noise of variance 1."""
    chance = np.random.default_rng(0)
    everybody = chance.normal(size=(30, 7))
    everybody = (everybody - everybody.mean(axis=0)) / everybody.std(axis=0)
    rows, candidates, scores = everybody[:10], everybody[10:], chance.normal(size=10)
    centred = scores - scores.mean()
    expected = Lasso(PENALTY, max_iter=10_000).fit(rows, centred).predict(candidates)
    scale = (UNEXPLORED / 7) ** 0.5
    process = GaussianProcessRegressor(DotProduct(0, sigma_0_bounds="fixed"), alpha=1.0, optimizer=None)
    _, deviation = process.fit(scale * rows, centred).predict(scale * candidates, return_std=True)
    found = LassoSampler(SPACE, BUDGET, seed=0).promise(rows, scores, candidates)
    assert found == pytest.approx(expected + deviation, abs=1e-3)


def test_after_two_trials_it_wants_what_is_least_known() -> None:
    rows, scores = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([-1.0, 1.0])
    found = LassoSampler(SPACE, seed=0).promise(rows, scores, np.array([[0.5, 1.0], [0.0, 9.0], [1.0, 1.0]]))
    assert found.argmax() == 1
    assert LassoSampler(SPACE, seed=0).promise(rows[:1], scores[:1], rows).tolist() == [0, 0]


def test_much_taught_it_ranks_by_what_is_good() -> None:
    candidates = [network for _, network in sampled(40, seed=2)]
    ranked = LassoSettings().make(0).rank(SPACE, candidates, past_of(sampled(40)), 40)
    best, worst = ([quality(candidates[place]) for place in part] for part in (ranked[:8], ranked[-8:]))
    assert fmean(best) > fmean(worst) + 0.3

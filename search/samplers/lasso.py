"""Which few properties of a network matter, and where that is least sure: a straight line that explores."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled
from search.samplers.pooled import PoolSampler, asked_by_search, standardized

PENALTY = 0.05  # of the sum of effects, per trial, where standings have variance 1
UNEXPLORED = 8.0  # variance of the effects together, where that of the noise is 1: how unsure they are
FEWEST_TRIALS = 3  # of two, any property explains the difference


@dataclass(frozen=True)
class LassoSettings:
    """Of a longer past `modelled_trials` are modelled."""

    name: Literal["lasso"] = "lasso"
    modelled_trials: int = 500

    def __post_init__(self) -> None:
        check_modelled(self.modelled_trials)

    def make(self, seed: int) -> Sampler:
        return asked_by_search(LassoSampler, seed, self.modelled_trials)


class LassoSampler(PoolSampler):
    """As `LinearSampler`, but for the model: most properties have no effect (lasso), and a network is wanted
    for its expected standing plus one standard deviation of what is not known of it (of the same effects with
    a normal prior). From nothing that tries what differs most; much taught, it hardly matters."""

    def promise(self, rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        if len(rows) < 2:
            return np.zeros(len(candidates))
        rows, candidates = standardized(rows, candidates)
        scores = scores - scores.mean()
        found: np.ndarray = _expected(rows, scores, candidates) + _deviation(rows, candidates)
        return found.round(6)  # what is equal but for rounding is equal


def _expected(rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) standings, in standard deviations over the trials."""
    if len(rows) < FEWEST_TRIALS:
        return np.zeros(len(candidates))
    from sklearn.linear_model import Lasso

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the last digits
        predicted: np.ndarray = Lasso(PENALTY, max_iter=2000).fit(rows, scores).predict(candidates)
    return predicted


def _deviation(rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) standard deviations of expected standings, by ridge regression."""
    prior = UNEXPLORED / rows.shape[1]
    inner = prior * rows @ rows.T + np.eye(len(rows))
    shared = prior * rows @ candidates.T
    known = (shared * np.linalg.solve(inner, shared)).sum(axis=0)
    left: np.ndarray = np.sqrt(np.maximum(prior * (candidates**2).sum(axis=1) - known, 0.0))
    return left

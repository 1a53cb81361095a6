"""Which few properties of a network matter, and where that is least sure: a straight line that explores."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled
from search.samplers.pooled import PoolSampler, asked_by_search, standardized

PENALTY = 0.05  # lasso's, of the sum of effects, per trial, where standings have variance 1
PRIOR_VARIANCE = 8.0  # ridge's: variance of the effects together, where that of the noise is 1
HANDED_OVER = 20.0  # trials after which lasso counts for as much as ridge


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
    """As `LinearSampler`, but for the model: a network is wanted for its expected standing plus one standard
    deviation of what is not known of it.

    With few trials each property may matter (ridge regression: effects with a normal prior), with many only
    some do (lasso). The deviation is that of the effects with the same prior. Where nothing is known, it
    alone decides: what differs most is tried first, also from what is being tried.
    """

    def promise(self, rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        rows, candidates = standardized(rows, candidates)
        known = ~np.isnan(scores)
        expected = _expected(rows[known], scores[known], candidates)
        found: np.ndarray = expected + _deviation(rows, candidates)
        return found.round(6)  # what is equal but for rounding is equal


def _expected(rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) standings, in standard deviations over the trials."""
    if len(rows) < 2:
        return np.zeros(len(candidates))
    from sklearn.linear_model import Lasso

    scores = scores - scores.mean()
    prior = PRIOR_VARIANCE / max(1, rows.shape[1])
    weights = np.linalg.solve(prior * rows @ rows.T + np.eye(len(rows)), scores)
    by_ridge = prior * candidates @ (rows.T @ weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the last digits
        by_lasso = Lasso(PENALTY, max_iter=2000).fit(rows, scores).predict(candidates)
    share = HANDED_OVER / (HANDED_OVER + len(rows))
    expected: np.ndarray = share * by_ridge + (1 - share) * by_lasso
    return expected


def _deviation(rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) standard deviations of expected standings, by ridge regression, once those that run have ended."""
    prior = PRIOR_VARIANCE / max(1, rows.shape[1])
    inner = prior * rows @ rows.T + np.eye(len(rows))
    shared = prior * rows @ candidates.T
    known = (shared * np.linalg.solve(inner, shared)).sum(axis=0)
    left: np.ndarray = np.sqrt(np.maximum(prior * (candidates**2).sum(axis=1) - known, 0.0))
    return left

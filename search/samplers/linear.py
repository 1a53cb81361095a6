"""What each property of a network is worth, by a straight line through all trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled
from search.samplers.pooled import PoolSampler, asked_by_search, standardized

EXPLAINED = 2.0  # variance of the effects together, where that of the noise is 1: the prior


@dataclass(frozen=True)
class LinearSettings:
    """Of a longer past `modelled_trials` are modelled."""

    name: Literal["linear"] = "linear"
    modelled_trials: int = 500

    def __post_init__(self) -> None:
        check_modelled(self.modelled_trials)

    def make(self, seed: int) -> Sampler:
        return asked_by_search(LinearSampler, seed, self.modelled_trials)


class LinearSampler(PoolSampler):
    """Ridge regression; in any study: `optuna.create_study(sampler=LinearSampler(space, budget, seed=0))`.

    The model: a trial's standing (search/samplers/standings.py), as a normal score, is a sum of one effect a
    property and of noise. The effects are those of Bayes with a normal prior. With a dozen trials and some
    thirty properties no more than that can be learnt, and every trial teaches it: a running one and one that
    was pruned, if they say `report_scores`.
    """

    def promise(self, rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """The expected standing of each, in standard deviations over the trials."""
        known = ~np.isnan(scores)
        rows, scores = rows[known], scores[known]
        if len(rows) < 2:  # their order is random
            return np.zeros(len(candidates))
        rows, candidates = standardized(rows, candidates)
        penalty = rows.shape[1] / EXPLAINED
        inner = rows @ rows.T + penalty * np.eye(len(rows))  # as many equations as trials, not as columns
        effects = rows.T @ np.linalg.solve(inner, scores - scores.mean())
        found: np.ndarray = candidates @ effects
        return found.round(9)  # what is equal but for rounding is equal

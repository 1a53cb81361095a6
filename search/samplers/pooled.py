"""Optuna samplers that rank a random pool of networks by what a model of their properties promises."""

from __future__ import annotations

import abc
import math
import random
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from search.samplers.base import Observation, Proposal, pool_by_value
from search.samplers.hard_budget import BudgetedSampler
from search.samplers.modelled import thinned, with_finite_scores
from search.samplers.optuna import ModelSampler, one_for_all
from search.samplers.properties import properties
from search.samplers.standings import standings
from search.samplers.studies import Translation, number_of, observations_in
from space.budget import Budget
from space.candidates import Candidate
from space.choices import UniformSuggestions
from space.search_space import AnySpace
from space.shared.seeds import numbered_seed

POOL = 200  # random samples that are ranked at once: among them, and not beyond, the promising is looked for
TIES = "random sampler"  # equals come as uniform sampling has them


class PoolSampler(BudgetedSampler, abc.ABC):
    """Proposes the network of a random pool that the model wants most, without chance on top: the pool is new
    for every trial.

    `seed` and a trial's number decide the pool; of a longer past `modelled_trials` are modelled.
    """

    def __init__(
        self,
        space: AnySpace,
        budget: Budget | None = None,
        *,
        seed: int | None = None,
        modelled_trials: int = 500,
    ) -> None:
        super().__init__(space, budget, seed=seed)
        self.modelled_trials = modelled_trials
        self._rows: dict[tuple[Any, ...], np.ndarray] = {}

    @abc.abstractmethod
    def promise(self, rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """(M, D) properties and (M,) standings of trials, NaN of those that have no scores yet, and (N, D)
        properties of candidates, to (N,): how much each is wanted; equal numbers where nothing is known."""

    def proposals(self, study: optuna.Study, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
        number, fixed = number_of(trial), self._fixed(trial)
        chance = random.Random(numbered_seed(self.seed, "linear pool", number))
        rows, scores = self._taught(study)
        while True:
            pool = []
            for _ in range(POOL):
                suggestions = UniformSuggestions(chance)
                proposal = Proposal(suggestions.params, self.space.sample(suggestions))
                pool.append(self._proposal(proposal.params | fixed) if fixed else proposal)
            values = self._value(rows, scores, [proposal.architecture for proposal in pool])
            for proposal in pool_by_value(pool, values, self.seed, TIES, number):
                yield proposal.params

    def values(
        self, study: optuna.Study, trial: FrozenTrial, candidates: Sequence[Candidate]
    ) -> Sequence[float]:
        """How much each candidate, of this space or not, is wanted."""
        return self._value(*self._taught(study), candidates)

    def _value(
        self, rows: np.ndarray, scores: np.ndarray, candidates: Sequence[Candidate]
    ) -> Sequence[float]:
        properties_of = np.stack([*map(properties, candidates)])
        rows = rows.reshape(len(rows), properties_of.shape[1])  # also of no trial
        found: list[float] = self.promise(rows, scores, properties_of).tolist()
        return found

    def _taught(self, study: optuna.Study) -> tuple[np.ndarray, np.ndarray]:
        """Properties (M, D) of the trials, and their standings as normal scores (M,)."""
        past = observations_in(study, self.space)
        known = thinned(with_finite_scores(past), self.modelled_trials)
        places = standings([seen.curve for seen in known])
        scores = [math.nan if place is None else NormalDist().inv_cdf(place) for place in places]
        return np.array([self._properties(seen) for seen in known]), np.array(scores)

    def _properties(self, seen: Observation) -> np.ndarray:
        """Those of a trial's network, kept from proposal to proposal."""
        key = tuple(seen.params.values())
        if key not in self._rows:
            self._rows[key] = properties(self.space.architecture(self.space.pinned() | seen.params))
        return self._rows[key]


def asked_by_search(kind: type[PoolSampler], seed: int, modelled_trials: int) -> ModelSampler:
    """How a search asks one of these: the same one for all of its trials."""

    def make(known: Translation, seed: int, number: int) -> PoolSampler:
        return kind(known.space, seed=seed, modelled_trials=modelled_trials)

    return ModelSampler(one_for_all(make), modelled_trials, seed, TIES)


def standardized(rows: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The properties that vary, in standard deviations over trials and candidates together."""
    everybody = np.concatenate([rows, candidates])
    centre, spread = everybody.mean(axis=0), everybody.std(axis=0)
    varied = spread > 1e-9
    return (rows - centre)[:, varied] / spread[varied], (candidates - centre)[:, varied] / spread[varied]

"""Optuna's TPE and Gaussian process, whose acquisition values given networks too: what replay ranks by."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from search.samplers.hard_budget import HardBudgetSampler
from search.samplers.optuna_private import RememberingGP, RememberingTPE, Remembers
from search.samplers.studies import Translation, number_of
from space.candidates import Candidate
from space.choices import UniformSuggestions
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

GP_POOL = 100  # random samples, of which the GP's acquisition orders the proposals after the first


class AcquisitionSampler(HardBudgetSampler):
    """Values networks by what TPE (log l - log g) or the GP (expected improvement of the hypervolume)
    maximises."""

    def __init__(self, sampler: RememberingTPE | RememberingGP, known: Translation, seed: int) -> None:
        super().__init__(sampler, known.space, seed=seed)
        self.remembers: Remembers = sampler
        self.settled = known.settled

    def values(
        self, study: optuna.Study, trial: FrozenTrial, candidates: Sequence[Candidate]
    ) -> list[float] | None:
        """How much each candidate is wanted, those that are no points of the space least; None before there
        is a model."""
        self.remembers.searches = False
        next(self.proposals(study, trial))  # makes the sampler build its model
        points = [self._settled(candidate) for candidate in candidates]
        if not self.remembers.has_model:
            return None
        known = [params for params in points if params is not None]
        found = iter(self.remembers.acquisition_values(known) if known else ())
        return [-inf if params is None else float(next(found)) for params in points]

    def _settled(self, candidate: Candidate) -> dict[str, Any] | None:
        try:
            return self.settled.of(candidate)
        except InputError:
            return None


class GaussianProcessSampler(AcquisitionSampler):
    """To fit anew for each proposal that is over budget would take a second each: after the first they come
    from random pools, each in the order in which the fitted process wants them."""

    def proposals(self, study: optuna.Study, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
        for params in super().proposals(study, trial):
            yield params
            if self.remembers.has_model:
                break
        yield from self._by_acquisition(trial)

    def _by_acquisition(self, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
        chance = random.Random(numbered_seed(self.seed, "gp pool", number_of(trial)))
        while True:
            pool = []
            for _ in range(GP_POOL):
                suggestions = UniformSuggestions(chance)
                self.space.sample(suggestions)
                pool.append(suggestions.params)
            wanted = self.remembers.acquisition_values([self.settled.params(params) for params in pool])
            yield from (pool[place] for place in np.argsort(-wanted, kind="stable"))

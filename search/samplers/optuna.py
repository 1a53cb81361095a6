"""What TPE, NSGA-II and a Gaussian process by Optuna share: no state between proposals.

Each proposal asks a study in memory that holds the recorded past and nothing else. Optuna's own objects
never travel between processes, and a resumed search needs no pickle. What stays from call to call is the
translation of past trials, which is a function of them.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search.samplers.base import Observation, Proposal, objectives_of_past, random_order
from search.samplers.modelled import Settled, thinned, with_finite_scores
from search.samplers.optuna_private import GENERATION, RememberingGP, Shared, generation_of
from space.architecture import Architecture
from space.choices import Space, UniformSuggestions, step_of
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

optuna.logging.set_verbosity(optuna.logging.WARNING)
GP_POOL = 100  # random samples, of which the GP's acquisition orders the proposals after the first


class OptunaSampler:
    """All objectives that the past has scores of. Running trials are known to TPE and GP as such, so that
    workers in parallel don't all try the same place. `make` gives Optuna's sampler for a seed; `name` goes
    into the seeds, `modelled_trials` of a longer past are modelled."""

    def __init__(self, name: str, make: Callable[[int], Any], modelled_trials: int, seed: int) -> None:
        self.name, self.make, self.modelled_trials, self.seed = name, make, modelled_trials, seed
        self._translation: Translation | None = None

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        sampler = self._sampler(number)
        study, generations_left_out = self._study(space, past, sampler)
        while True:
            trial = study.ask()
            architecture = space.sample(trial)
            generation = generation_of(study, trial)
            attributes = {} if generation is None else {GENERATION: generation + generations_left_out}
            yield Proposal(dict(trial.params), architecture, attributes)
            study.tell(trial, state=TrialState.FAIL)  # not taken: invisible to what is sampled next
            if isinstance(sampler, RememberingGP) and sampler.acquisition is not None:
                yield from self._by_acquisition(space, sampler, number)

    def _sampler(self, number: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # gamma goes in Optuna 6; we require 5
            return self.make(numbered_seed(self.seed, self.name, number))

    def _translated(self, space: Space) -> Translation:
        if self._translation is None or self._translation.space is not space:
            self._translation = Translation(space)
        return self._translation

    def _study(self, space: Space, past: Sequence[Observation], sampler: Any) -> tuple[optuna.Study, int]:
        """A study that holds what is modelled of the past, and how many of NSGA-II's generations are not."""
        translation = self._translated(space)
        known = with_finite_scores(past)
        modelled = thinned(known, self.modelled_trials)
        left_out = _first_generation(modelled) if len(modelled) < len(known) else 0
        directions = [objective.direction for objective in objectives_of_past(modelled)]
        study = optuna.create_study(directions=directions, sampler=sampler)
        study.add_trials([translation.frozen_trial(seen, left_out) for seen in modelled])
        return study, left_out

    def _by_acquisition(self, space: Space, sampler: RememberingGP, number: int) -> Iterator[Proposal]:
        """Without end: random samples, pool by pool, each in the order in which the fitted GP wants them. To
        fit anew for each proposal that is over budget would take a second each."""
        chance = random.Random(numbered_seed(self.seed, "gp pool", number))
        settled = self._translated(space).settled
        while True:
            pool = []
            for _ in range(GP_POOL):
                suggestions = UniformSuggestions(chance)
                pool.append(Proposal(suggestions.params, space.sample(suggestions)))
            wanted = sampler.acquisition_values([settled.params(proposal.params) for proposal in pool])
            yield from (pool[place] for place in np.argsort(-wanted, kind="stable"))


class ModelSampler(OptunaSampler):
    """TPE or GP, which model what is wanted and so can value any network; NSGA-II mates and mutates."""

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        """Places of the candidates, the most wanted first: by the acquisition that TPE (log l - log g) or the
        GP (expected improvement of the hypervolume) maximises; at random before anything is modelled.
        Candidates that are no points of the space come last.
        """
        sampler = self._sampler(number)
        sampler.searches = False
        study, _ = self._study(space, past, sampler)
        space.sample(study.ask())  # makes the sampler build its model
        order = random_order(candidates, self.seed, self.name, number)
        known = self._translated(space).settled
        points, others = [], []
        for place in order:
            try:
                points.append((place, known.of(candidates[place])))
            except InputError:
                others.append(place)
        wanted = sampler.acquisition_values([params for _, params in points]) if points else None
        if wanted is not None:
            points = [points[place] for place in np.argsort(-wanted, kind="stable")]
        return [place for place, _ in points] + others


class Translation:
    """Observations as trials of Optuna studies over one space."""

    def __init__(self, space: Space) -> None:
        self.space, self.settled = space, Settled(space)
        self.distributions = Shared(distributions(space))

    def frozen_trial(self, seen: Observation, generations_left_out: int = 0) -> FrozenTrial:
        """An observation as a trial: complete, or running while it has no scores."""
        # what no genetic sampler proposed (an enqueued architecture) belongs to the first generation
        generation = seen.attributes.get(GENERATION, 0) - generations_left_out
        now = datetime.now()
        # not by create_trial, which compares each distribution with its kind's of earlier versions
        return FrozenTrial(
            number=-1,
            trial_id=-1,
            state=TrialState.RUNNING if seen.point is None else TrialState.COMPLETE,
            value=None,
            values=None if seen.point is None else list(seen.point.values),
            datetime_start=now,
            datetime_complete=None if seen.point is None else now,
            params=self.settled.params(seen.params),
            distributions=self.distributions,
            user_attrs={},
            system_attrs={GENERATION: max(generation, 0)},
            intermediate_values={},
        )


def _first_generation(modelled: Sequence[Observation]) -> int:
    """The first of NSGA-II's generations in the newer half of a thinned past. The best from before stand in
    it too, as parents of what follows."""
    newer = modelled[len(modelled) // 2 :]
    return min((seen.attributes[GENERATION] for seen in newer if GENERATION in seen.attributes), default=0)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What each free choice of a space is to Optuna; as `Space.sample` suggests it."""
    found: dict[str, BaseDistribution] = {}
    for name, values in space.free().items():
        step = step_of(values)
        found[name] = (
            CategoricalDistribution(values)
            if step is None
            else IntDistribution(values[0], values[-1], step=step)
        )
    return found

"""How a search asks Optuna's samplers, ours among them: on a study in memory that holds the recorded past.

Each proposal has a study of its own, so that no state of Optuna's travels between processes and a resumed
search needs no pickle. What stays from call to call is the translation of past trials, which is a function of
them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial

from search.samplers.base import Observation, Proposal, by_value, objectives_of_past
from search.samplers.hard_budget import BudgetedSampler
from search.samplers.modelled import thinned, with_finite_scores
from search.samplers.optuna_private import GENERATION
from search.samplers.studies import NUMBER, Translation
from space.candidates import Candidate
from space.search_space import AnySpace

optuna.logging.set_verbosity(optuna.logging.WARNING)


class MakesBudgeted(Protocol):
    """Makes Optuna's sampler for one trial of a search, without a budget: the search keeps that itself, since
    it writes down what it refuses."""

    def __call__(self, known: Translation, seed: int, number: int) -> BudgetedSampler: ...


def one_for_all(make: MakesBudgeted) -> MakesBudgeted:
    """The same for all trials of a search: of a sampler that keeps no more than what networks are made of."""
    made: list[tuple[Translation, BudgetedSampler]] = []

    def kept(known: Translation, seed: int, number: int) -> BudgetedSampler:
        if not made or made[0][0] is not known:
            made[:] = [(known, make(known, seed, number))]
        return made[0][1]

    return kept


@dataclass(frozen=True)
class AskedTrial:
    """A trial of a study that holds what is modelled of the past, and the sampler to ask for it.
    `generations_left_out` are those of NSGA-II that are not modelled."""

    sampler: Any
    study: optuna.Study
    trial: FrozenTrial
    generations_left_out: int

    def proposals(self) -> Iterator[dict[str, Any]]:
        proposals: Iterator[dict[str, Any]] = self.sampler.proposals(self.study, self.trial)
        return proposals

    def attributes(self) -> dict[str, Any]:
        """What the sampler wants to find beside the proposal later."""
        genetic = getattr(self.sampler, "sampler", None)
        if not isinstance(genetic, optuna.samplers.NSGAIISampler):
            return {}
        generation = genetic.get_trial_generation(self.study, self.trial)
        return {GENERATION: generation + self.generations_left_out}


class OptunaSampler:
    """All objectives that the past has scores of. Running trials are known as such, so that workers in
    parallel don't all try the same place. `modelled_trials` of a longer past are modelled."""

    def __init__(self, make: MakesBudgeted, modelled_trials: int, seed: int) -> None:
        self.make, self.modelled_trials, self.seed = make, modelled_trials, seed
        self._translation: Translation | None = None

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        asked = self._ask(space, past, number)
        for params in asked.proposals():
            yield Proposal.of(space, params, asked.attributes())

    def _ask(self, space: AnySpace, past: Sequence[Observation], number: int) -> AskedTrial:
        translation = self._translated(space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # gamma goes in Optuna 6; we require 5
            sampler = self.make(translation, self.seed, number)
        known = with_finite_scores(past)
        modelled = thinned(known, self.modelled_trials)
        left_out = _first_generation(modelled) if len(modelled) < len(known) else 0
        directions = [objective.direction for objective in objectives_of_past(modelled)]
        study = optuna.create_study(directions=directions, sampler=sampler)
        study.add_trials([translation.frozen_trial(seen, left_out) for seen in modelled])
        study.ask().set_user_attr(NUMBER, number)
        return AskedTrial(sampler, study, study.get_trials(deepcopy=False)[-1], left_out)

    def _translated(self, space: AnySpace) -> Translation:
        if self._translation is None or self._translation.space is not space:
            self._translation = Translation(space)
        return self._translation


class ModelSampler(OptunaSampler):
    """One whose sampler models what is wanted, and so can value any network, by its method `values`; `ties`
    names the chance by which equals are ordered."""

    def __init__(self, make: MakesBudgeted, modelled_trials: int, seed: int, ties: str) -> None:
        super().__init__(make, modelled_trials, seed)
        self.ties = ties

    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
    ) -> list[int]:
        """Places of the candidates, the most wanted first; at random before anything is modelled."""
        asked = self._ask(space, past, number)
        return by_value(
            candidates,
            lambda found: asked.sampler.values(asked.study, asked.trial, found),
            self.seed,
            self.ties,
            number,
        )


def _first_generation(modelled: Sequence[Observation]) -> int:
    """The first of NSGA-II's generations in the newer half of a thinned past. The best from before stand in
    it too, as parents of what follows."""
    newer = modelled[len(modelled) // 2 :]
    return min((seen.attributes[GENERATION] for seen in newer if GENERATION in seen.attributes), default=0)

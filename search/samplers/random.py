"""Uniform over the space: the honest baseline."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from search.samplers.base import Observation, Proposal, Sampler, random_order
from space.candidates import Candidate
from space.choices import UniformSuggestions
from space.search_space import AnySpace
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class RandomSettings:
    name: Literal["random"] = "random"

    def make(self, seed: int) -> Sampler:
        return RandomSampler(seed)


@dataclass(frozen=True)
class RandomSampler:
    """Uniform over the space, whatever came before."""

    seed: int

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        generator = random.Random(numbered_seed(self.seed, "random sampler", number))
        while True:
            suggestions = UniformSuggestions(generator)
            architecture = space.sample(suggestions)
            yield Proposal(suggestions.params, architecture)

    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
    ) -> list[int]:
        return random_order(candidates, self.seed, "random sampler", number)

"""A design that fills the space evenly: for tables of recorded runs, which should favour no strategy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from search.samplers.base import Observation, Proposal, Sampler, random_order
from space.candidates import Candidate
from space.search_space import AnySpace
from space.shared.seeds import numbered_seed

SOBOL_PLACE = "sobol:place"  # where a trial remembers its place in the sequence
BLOCK = 64  # points made at once


@dataclass(frozen=True)
class SobolSettings:
    name: Literal["sobol"] = "sobol"

    def make(self, seed: int) -> Sampler:
        return SobolSampler(seed)


@dataclass(frozen=True)
class SobolSampler:
    """A scrambled Sobol sequence over the free choices: every value of a choice, and every pair of values of
    two, comes about equally often, in any stretch of it. What lies before the last recorded place is not
    proposed again, so what is over budget is refused once, and what remains fills the feasible part. Trials
    of earlier runs count too, where they are points of this same sequence."""

    seed: int

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        here = self._first_place(space, past)
        for place, params in enumerate(self._points(space, here), here):
            yield Proposal.of(space, params, {SOBOL_PLACE: place})

    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
    ) -> list[int]:
        """At random: among given networks there is no sequence."""
        return random_order(candidates, self.seed, "sobol", number)

    def _first_place(self, space: AnySpace, past: Sequence[Observation]) -> int:
        """The one after the last that the past took; earlier runs (numbers below zero) may have had
        sequences of their own."""
        placed = [(seen.attributes[SOBOL_PLACE], seen) for seen in past if SOBOL_PLACE in seen.attributes]
        length = max((place + 1 for place, seen in placed if seen.number < 0), default=0)
        points = list(islice(self._points(space, 0), length))
        taken = [place for place, seen in placed if seen.number >= 0 or seen.params == points[place]]
        return max(taken, default=-1) + 1

    def _points(self, space: AnySpace, place: int) -> Iterator[dict[str, Any]]:
        """The choices at this place of the sequence, at the next, and so on."""
        from scipy.stats.qmc import Sobol

        free = space.free()
        sequence = Sobol(max(1, len(free)), scramble=True, seed=numbered_seed(self.seed, "sobol", 0))
        if place:  # SciPy cannot skip nothing
            sequence.fast_forward(place)
        while True:
            for point in sequence.random(BLOCK):
                yield {
                    name: values[int(at * len(values))]
                    for (name, values), at in zip(free.items(), point, strict=False)
                }

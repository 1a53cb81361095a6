"""A design that fills the space evenly: for tables of recorded runs, which should favour no strategy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.sampler import Observation, Proposal, derived_seed, random_order
from space.architecture import Architecture
from space.choices import Space

PLACE = "sobol:place"  # where a trial remembers its place in the sequence
BLOCK = 64  # points made at once


@dataclass(frozen=True)
class SobolSampler:
    """A scrambled Sobol sequence over the free choices: every value of a choice, and every pair of values of
    two, comes about equally often, in any stretch of it. What lies before the last recorded place is not
    proposed again, so what is over budget is refused once, and what remains fills the feasible part."""

    seed: int

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        from scipy.stats.qmc import Sobol

        free = space.free()
        # trials of earlier runs, with numbers below zero, had places in sequences of their own
        places = [seen.attributes[PLACE] for seen in past if seen.number >= 0 and PLACE in seen.attributes]
        place = max(places, default=-1) + 1
        sequence = Sobol(max(1, len(free)), scramble=True, seed=derived_seed(self.seed, "sobol", 0))
        if place:  # SciPy cannot skip nothing
            sequence.fast_forward(place)
        while True:
            for point in sequence.random(BLOCK):
                params = {
                    name: values[int(at * len(values))]
                    for (name, values), at in zip(free.items(), point, strict=False)
                }
                yield Proposal.of(space, params, {PLACE: place})
                place += 1

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        """At random: among given networks there is no sequence."""
        return random_order(candidates, self.seed, "sobol", number)

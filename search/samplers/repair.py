"""The first of a sampler's proposals that fits a budget; where none does, the last ones, shrunk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from search.samplers.base import Proposal
from space.budget import PAPERS, Budget, smallest_of
from space.candidates import Candidate
from space.prices.candidates import candidate_price
from space.search_space import AnySpace

PROPOSALS_BEFORE_REPAIR = 200  # proposals for one trial before the last ones are shrunk into the budget


class FirstAccepted:
    """Looks through proposals for one trial after the other, in one space and budget."""

    def __init__(self, space: AnySpace, budget: Budget) -> None:
        self.space, self.budget = space, budget

    def of(
        self,
        proposals: Iterator[Proposal],
        accepts: Callable[[Proposal], bool],
        fits: Callable[[Candidate], bool],
        seed_of: Callable[[int], int],
        *,
        exhaustive: bool = False,
        fixed: Sequence[str] = (),
    ) -> Proposal | None:
        """The first proposal that `accepts` takes; else the last one, or one before, shrunk until it `fits`.

        None if nothing does. `seed_of` gives a seed for the number of each proposal that is shrunk. What is
        `exhaustive` goes through the whole space, and so has come by the shrunk ones as well. Choices that
        are `fixed` are not shrunk.
        """
        proposed = []
        for proposal in islice(proposals, None if exhaustive else PROPOSALS_BEFORE_REPAIR):
            proposed.append(proposal)
            if accepts(proposal):
                return proposal
        for index, proposal in enumerate([] if exhaustive else reversed(proposed)):
            for smallest in self._smallest_params:
                target = {name: value for name, value in smallest.items() if name not in fixed}
                shrunk = repaired(self.space, proposal, target, fits, seed_of(index))
                if shrunk is not None:
                    return shrunk
        return None

    @cached_property
    def _smallest_params(self) -> list[dict[str, Any]]:
        """What proposals are shrunk towards: the fewest MACs, then the least of each further bound."""
        further = [name for name in self.budget.bounds() if name not in PAPERS]
        found = [self.space.smallest(lambda a: candidate_price(a).macs)]
        found += [smallest_of(self.space, self.budget, name) for name in further]
        return [self.space.encode(architecture) for architecture in found]


def repaired(
    space: AnySpace, proposal: Proposal, smallest: Mapping[str, Any], fits: Any, seed: int
) -> Proposal | None:
    """The proposal shrunk until `fits(architecture)`: choices go, in random order, to what they are in the
    `smallest` architecture of the space. None if even that does not fit."""
    params, names = dict(proposal.params), sorted(smallest)
    random.Random(seed).shuffle(names)
    for name in ["", *names]:
        if name:
            params[name] = smallest[name]
        architecture = space.sample(FixedSuggestions(params))
        if fits(architecture):
            return Proposal(params, architecture, proposal.attributes)
    return None


@dataclass(frozen=True)
class FixedSuggestions:
    """Suggests what is in `params`."""

    params: dict[str, Any]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.params[name]

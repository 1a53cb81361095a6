"""Every network of a small space once, in an order that the seed shuffles."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from search.samplers.base import Observation, Proposal, Sampler
from space.candidates import Candidate
from space.search_space import AnySpace
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

GRID_PLACE = "grid:place"  # where a trial remembers its place in the order


@dataclass(frozen=True)
class GridSettings:
    """A space with more than `most_combinations` of its free choices is refused."""

    name: Literal["grid"] = "grid"
    most_combinations: int = 20_000

    def __post_init__(self) -> None:
        if self.most_combinations < 1:
            raise InputError(f"most_combinations: {self.most_combinations} is too few; allowed: 1 or more")

    def make(self, seed: int) -> Sampler:
        return GridSampler(seed, self.most_combinations)


@dataclass(frozen=True)
class GridSampler:
    """Goes through all combinations of the free choices and ends. Of those that encode one network, which
    differ in inactive parameters, it takes one. What lies before the last recorded place is not proposed
    again, so that each network over budget is refused once."""

    seed: int
    most_combinations: int
    exhaustive: ClassVar[bool] = True

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        order = self._order(space)
        # trials of earlier runs, with numbers below zero, had places in orders of their own
        places = [
            seen.attributes[GRID_PLACE] for seen in past if seen.number >= 0 and GRID_PLACE in seen.attributes
        ]
        for place in range(max(places, default=-1) + 1, len(order)):
            proposal = Proposal.of(space, _combination(space, order[place]), {GRID_PLACE: place})
            if space.canonical(proposal.params) == proposal.params:
                yield proposal

    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
    ) -> list[int]:
        """By their places in the order; those that are no points of the space come last."""
        places = {index: place for place, index in enumerate(self._order(space))}

        def place_of(candidate: Candidate) -> int:
            try:
                return places[_index(space, space.encode(candidate))]
            except InputError:
                return len(places)

        wanted = [place_of(candidate) for candidate in candidates]
        return sorted(range(len(candidates)), key=lambda i: wanted[i])

    def check(self, space: AnySpace) -> None:
        """Raises InputError for a space with more combinations than this grid may have."""
        if space.encodings > self.most_combinations:
            raise InputError(
                f"sampler: a grid of this space has {space.encodings:,} combinations of {len(space.free())} "
                f"free choices; allowed: {self.most_combinations:,} (sampler.most_combinations); pin "
                "choices, as in space.levels.level_1.channels=[320], or choose another sampler"
            )

    def _order(self, space: AnySpace) -> list[int]:
        self.check(space)
        order = list(range(space.encodings))
        random.Random(numbered_seed(self.seed, "grid", 0)).shuffle(order)
        return order


def _combination(space: AnySpace, index: int) -> dict[str, Any]:
    """The free choices number `index`, the last choice varying fastest."""
    params = {}
    for name, values in reversed(space.free().items()):
        index, place = divmod(index, len(values))
        params[name] = values[place]
    return {name: params[name] for name in space.free()}


def _index(space: AnySpace, params: dict[str, Any]) -> int:
    index = 0
    for name, values in space.free().items():
        index = index * len(values) + values.index(params[name])
    return index

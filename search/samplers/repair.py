"""A proposal shrunk until it fits the budget."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.samplers.base import Proposal
from space.choices import Space


def repaired(
    space: Space, proposal: Proposal, smallest: Mapping[str, Any], fits: Any, seed: int
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

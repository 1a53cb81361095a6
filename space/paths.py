"""Which architecture each step of a shared training trains: any of a space, or one without some stages."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space, UniformSuggestions
from space.corners import corners
from space.image_budget import IMAGE_FIELDS, TOTAL
from space.proxy import Proxy
from space.shared.plain import InputError, to_plain
from space.shared.seeds import numbered_seed
from space.subnet import Subnet

MOST_SAMPLES = 20_000  # of one step, before it is said that too little of the space fits


class Paths(Protocol):
    """What shares weights, and which of it each step trains."""

    @property
    def corners(self) -> Sequence[Architecture | Subnet]:
        """Which together have each parameter at its largest, the largest architecture first."""
        ...

    def at(self, seed: int, step: int) -> Architecture | Subnet:
        """What step number `step` trains, at the paper's scale: decided by seed and step alone."""
        ...

    def identity(self, proxy: Proxy) -> Mapping[str, str]:
        """What a training of these paths has to be of to be gone on with."""
        ...


@dataclass(frozen=True)
class SpacePaths:
    """Any architecture of a space within a budget, uniformly (Guo et al., 2020, single path one-shot)."""

    space: Space
    budget: Budget

    @property
    def corners(self) -> Sequence[Architecture]:
        return corners(self.space)

    def at(self, seed: int, step: int) -> Architecture:
        chance = random.Random(numbered_seed(seed, "supernet", step))
        for _ in range(MOST_SAMPLES):
            architecture = self.space.sample(UniformSuggestions(chance))
            if not self.budget.excess(architecture):
                return architecture
        raise InputError(
            f"budget: none of {MOST_SAMPLES:,} random architectures of the space fits, so that nothing can "
            "be trained for all; allowed: a wider budget, or a smaller space"
        )

    def identity(self, proxy: Proxy) -> Mapping[str, str]:
        budget = to_plain(self.budget)
        if self.budget.image is not None:  # by milliseconds, wherever those were read
            budget = {name: value for name, value in budget.items() if name not in IMAGE_FIELDS}
            budget |= {TOTAL: [to_plain(self.budget.image.within), self.budget.image.least_ms]}
        if self.budget.files:  # what they say, wherever they lie
            budget["prices"] = [_digest(one.to_plain()) for one in self.budget.lists]
        return {"space": _digest([to_plain(self.space), budget, to_plain(proxy)])}


@dataclass(frozen=True)
class RobustPaths:
    """A network of which each stage that can be left out runs with this probability, and is the identity
    otherwise (Li et al., 2023, SnapFusion's robust training)."""

    network: Subnet
    probability: float

    @property
    def corners(self) -> Sequence[Subnet]:
        return [self.network]

    def at(self, seed: int, step: int) -> Subnet:
        chance = random.Random(numbered_seed(seed, "robust", step))
        lots = [(stage, chance.random()) for stage in self.network.stages]
        return self.network.without(*(stage for stage, lot in lots if lot >= self.probability))

    def identity(self, proxy: Proxy) -> Mapping[str, str]:
        network = [self.network.whole.to_plain(), self.network.units]
        return {"network": _digest([*network, self.probability, to_plain(proxy)])}


def _digest(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]

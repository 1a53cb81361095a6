"""What a strategy is made of, and what makes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from search.objectives import Objectives
from search.runs.record import MemoryRecord
from search.samplers.base import Sampler
from search.stopping.base import StoppingRule
from search.strategy import Strategy
from space.budget import Budget
from space.candidates import Candidate
from space.proxy import Proxy
from space.search_space import AnySpace


@dataclass(frozen=True)
class SearchTask:
    """What is searched, and by what: the same for every strategy. `enqueued` architectures come before the
    sampler's, in order; trials are evaluated at `rungs` and may be stopped there; `trials` are to end.
    `presets` are texts that stand for the user's own files (`search.named`)."""

    space: AnySpace
    budget: Budget
    proxy: Proxy
    sampler: Sampler
    rule: StoppingRule
    objectives: Objectives
    rungs: tuple[int, ...]
    trials: int
    seed: int
    enqueued: tuple[Candidate, ...] = ()
    presets: Mapping[str, str] = field(default_factory=dict)


class MakesStrategy(Protocol):
    """The settings of a strategy: a dataclass in the strategy's own file, whose name chooses it. A strategy
    may own training that candidates share."""

    @property
    def name(self) -> str: ...

    def make(self, record: MemoryRecord, task: SearchTask) -> Strategy:
        """The strategy, on a record that may hold a part of the search already."""
        ...

"""What an architecture costs, in closed form: the costs of its stages, added up.

Every rule stands with its kind in `space/kinds`; `tests/space/prices/test_macs.py` works each of them out
by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from space.architecture import Architecture
from space.kinds.rules import Cost
from space.kinds.stage import Stage
from space.kinds.table import kind_of
from space.stages import stages, work


@dataclass(frozen=True)
class Item:
    """One line of a breakdown: where in the network, what kind of block, what it costs."""

    where: str
    kind: str
    cost: Cost


@lru_cache(maxsize=65_536)
def cost_of(stage: Stage) -> Cost:
    return kind_of(stage).cost(stage)


def price(a: Architecture) -> Cost:
    """The whole network, for one image."""
    return price_of(work(a))


def price_of(parts: Iterable[Stage]) -> Cost:
    """Of some stages together, for one image."""
    parameters = macs = attention_macs = 0
    for own_parameters, own_macs, own_attention_macs in map(cost_of, parts):
        parameters += own_parameters
        macs += own_macs
        attention_macs += own_attention_macs
    return Cost(parameters, macs, attention_macs)


def breakdown(a: Architecture) -> list[Item]:
    """What each stage costs, in the order of the forward pass."""
    return [Item(stage.where, kind_of(stage).label, cost_of(stage)) for stage in stages(a)]

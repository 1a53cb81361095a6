"""What each stage of a network is worth, and which go or are copied: SnapFusion's actions (Li et al., 2023).

A stage's value is what the score loses without it over what the cost loses. While a network is over, the
stages of the least values go; once it is within, those of the greatest are copied, where the copies fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from search.objectives import Objective
from space.architecture import Architecture
from space.shared.plain import InputError
from space.subnet import Subnet

CostOf = Callable[[Architecture], float]


@dataclass(frozen=True)
class Valued:
    """A stage: score and cost of the network without it, and its value; None where one is not known, or where
    the network costs no less without it."""

    stage: str
    score: float | None
    cost: float | None
    value: float | None


@dataclass(frozen=True)
class Limit:
    """What a network may cost; `fits` says whether it keeps what else bounds it."""

    cost_of: CostOf
    at_most: float
    fits: Callable[[Architecture], bool]

    def over(self, network: Subnet) -> bool:
        """Also where it is not known what it costs."""
        try:
            own = self.cost_of(network.architecture)
            return own > self.at_most or not self.fits(network.architecture)
        except InputError:
            return True

    def cost(self, network: Subnet) -> float | None:
        """None where it is not known: a price list may not hold what a stage would become."""
        try:
            return self.cost_of(network.architecture)
        except InputError:
            return None


def valued(
    network: Subnet, scores: Sequence[Mapping[str, float]], objective: Objective, limit: Limit
) -> list[Valued]:
    """Its stages in order; `scores` are the network's own, then without each of them."""
    whole, cost = scores[0].get(objective.name), limit.cost(network)
    rows = []
    for stage, own in zip(network.stages, scores[1:], strict=True):
        score, without = own.get(objective.name), limit.cost(network.without(stage))
        value = None
        if None not in (whole, score, cost, without) and without < cost:  # type: ignore[operator]
            value = objective.gain(whole, over=score) / (cost - without)  # type: ignore[arg-type, operator]
        rows.append(Valued(stage, score, without, value))
    return rows


def next_actions(network: Subnet, rows: Sequence[Valued], limit: Limit, most: int) -> list[str]:
    """The next actions in words, at most so many; none where nothing is left to be done."""
    known = sorted((row for row in rows if row.value is not None), key=lambda row: row.value or 0.0)
    actions: list[str] = []
    if limit.over(network):
        for row in known[:most]:
            if not limit.over(network.after(actions)):
                break
            actions.append(f"remove {row.stage}")
        return actions
    for row in reversed(known):
        copied = network.after([*actions, f"copy {row.stage}"])
        if len(actions) < most and (row.value or 0.0) > 0 and not limit.over(copied):
            actions.append(f"copy {row.stage}")
    return actions


def fewest_actions(network: Subnet, cost_of: CostOf, at_most: float) -> int | None:
    """How many removals bring a cost within, had each what it saves first; None where all are too few.

    Removals share what they save, such as the layers of a block that goes: fewer never do. Where all of them
    save more than each by itself, it is 1. Stages without which the cost is not known never go.
    """
    one, whole = Limit(cost_of, at_most, lambda a: True), cost_of(network.architecture)
    least = one.cost(network.without(*network.stages))
    if least is not None and least > at_most:
        return None
    without = (one.cost(network.without(stage)) for stage in network.stages)
    saved = sorted((whole - cost for cost in without if cost is not None), reverse=True)
    left = itertools.accumulate([whole, *(-each for each in saved)])
    fewest = next((count for count, cost in enumerate(left) if cost <= at_most), None)
    return 1 if fewest is None and least is not None else fewest

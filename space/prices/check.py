"""A second opinion on the closed form: PyTorch's counter and fvcore, which run the network instead."""

from __future__ import annotations

from collections.abc import Callable

from space.architecture import Architecture
from space.prices.counters import OperatorCount, UnknownOperator, fvcore_count, meta_count
from space.prices.macs import price
from space.shared.second_opinion import SecondOpinion

COUNTERS: dict[str, Callable[[Architecture], OperatorCount]] = {"PyTorch": meta_count, "fvcore": fvcore_count}


def second_opinions(
    a: Architecture,
    on_counter: Callable[[str], None] = lambda name: None,
    counters: dict[str, Callable[[Architecture], OperatorCount]] = COUNTERS,
) -> list[SecondOpinion]:
    """Parameters, MACs and attention products by each counter, which must equal ours to the last integer.

    A counter that meets an operator that it cannot count gives no figure, and so disagrees.

    Args:
        on_counter: told the name of a counter before it starts: fvcore's takes seconds.
    """
    found: dict[str, OperatorCount | UnknownOperator] = {}
    for name, count in counters.items():
        on_counter(name)
        try:
            found[name] = count(a)
        except UnknownOperator as error:
            found[name] = error
    cost = price(a)
    ours = {
        "parameters": ("parameters", cost.parameters),
        "macs": ("MACs", cost.macs),
        "attention_macs": ("attention products", cost.attention_macs),
    }
    return [
        SecondOpinion(label, name, value, None, note=str(count))
        if isinstance(count, UnknownOperator)
        else SecondOpinion(label, name, value, getattr(count, field))
        for field, (label, value) in ours.items()
        for name, count in found.items()
    ]

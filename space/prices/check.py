"""A second opinion on the closed form: PyTorch's counter and fvcore, which run the network instead."""

from __future__ import annotations

from collections.abc import Callable

import torch

from space.architecture import Architecture
from space.autoencoder import IMAGE_CHANNELS, Autoencoder
from space.autoencoder_network import AutoencoderNetwork
from space.kinds.rules import Cost
from space.prices.autoencoder import autoencoder_price
from space.prices.counters import (
    OperatorCount,
    UnknownOperator,
    fvcore_count,
    meta_count,
    meta_count_of,
)
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
    return _opinions(price(a), found)


def autoencoder_opinions(a: Autoencoder) -> list[SecondOpinion]:
    """The same of encoder and decoder, by PyTorch's counter."""
    cost, size = autoencoder_price(a), a.latent_size
    image = torch.zeros(1, IMAGE_CHANNELS, a.image_size, a.image_size, device="meta")
    latent = torch.zeros(1, a.latent_channels, size, size, device="meta")
    found = []
    for name, given in (("encoder", image), ("decoder", latent)):
        counted: OperatorCount | UnknownOperator
        try:
            counted = meta_count_of(lambda name=name: getattr(AutoencoderNetwork(a), name), given)  # type: ignore[misc]
        except UnknownOperator as error:
            counted = error
        found += _opinions(getattr(cost, name), {"PyTorch": counted}, f"{name} ")
    return found


def _opinions(
    cost: Cost, found: dict[str, OperatorCount | UnknownOperator], of: str = ""
) -> list[SecondOpinion]:
    ours = {
        "parameters": ("parameters", cost.parameters),
        "macs": ("MACs", cost.macs),
        "attention_macs": ("attention products", cost.attention_macs),
    }
    return [
        SecondOpinion(of + label, name, value, None, note=str(count))
        if isinstance(count, UnknownOperator)
        else SecondOpinion(of + label, name, value, getattr(count, field))
        for field, (label, value) in ours.items()
        for name, count in found.items()
    ]

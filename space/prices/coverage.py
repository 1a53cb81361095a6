"""Whether a price list prices all of a space, said before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from space.architecture import Architecture
from space.choices import Space
from space.prices.latency import PriceList
from space.prices.parts import TimedPart, parts
from space.shared.plain import InputError

SIDES = ("layers_down", "layers_up")


def check_covers(prices: PriceList, space: Space) -> None:
    """Raises InputError that names the first part of the space that the list does not price."""
    for part in parts_of_space(space):
        try:
            prices.part_ms(part)
        except InputError as error:
            raise InputError(f"{error}; it was measured for another space") from None


def parts_of_space(space: Space) -> list[TimedPart]:
    """Every part that a network of the space can have, in a fixed order.

    A conv block depends on the widths of neighbouring levels and on its own choices, a layer on its level's
    width and on what is chosen for layers: the two are gone through one after the other.
    """
    found: dict[TimedPart, None] = {}
    for network in _varied(space):
        found.update(dict.fromkeys(parts(network)))
    return list(found)


def _varied(space: Space) -> Iterator[Architecture]:
    first = {name: values[0] for name, values in space.choices()}
    choices = dict(space.choices())
    levels = sorted(space.levels)
    of_blocks = [f"{key}.{name}" for key in levels for name in ("channels", "conv", "blocks")]
    for chosen in _product(choices, [*of_blocks, "separable_expansion", "separable_kernel"]):
        yield space.architecture(first | chosen)
    of_layers = ("shared_key_value", "attention", "feed_forward_ratio", "activation")
    most = {f"{key}.{side}": max(getattr(space.levels[key], side)) for key in levels for side in SIDES}
    for key in levels:
        own = [f"{key}.{name}" for name in ("channels", "self_attention", "cross_attention")]
        for chosen in _product(choices, [*own, *of_layers]):
            yield space.architecture(first | most | chosen)


def _product(choices: Mapping[str, tuple[Any, ...]], names: list[str]) -> Iterator[dict[str, Any]]:
    for values in product(*(choices[name] for name in names)):
        yield dict(zip(names, values, strict=True))

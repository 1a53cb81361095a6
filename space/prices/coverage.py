"""Whether a price list prices all of a space, said before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.candidates import Candidate
from space.choices import Space
from space.decoder_space import DecoderSpace, unet_space
from space.prices.latency import PriceList
from space.prices.parts import TimedPart, parts
from space.search_space import AnySpace
from space.shared.plain import InputError

SIDES = ("layers_down", "layers_up")


def check_covers(prices: PriceList, space: AnySpace) -> None:
    """Raises InputError that names the first part of the space that the list does not price."""
    for part in parts_of_space(space):
        try:
            prices.part_ms(part)
        except InputError as error:
            raise InputError(f"{error}; it was measured for another space") from None


def parts_of_space(space: AnySpace) -> list[TimedPart]:
    """Every part that a network of the space can have, in a fixed order.

    A conv block depends on the widths of neighbouring levels and on its own choices, a layer on its level's
    width and on what is chosen for layers: the two are gone through one after the other.
    """
    found: dict[TimedPart, None] = {}
    networks: Iterator[Candidate]
    networks = _decoders(space) if isinstance(space, DecoderSpace) else _varied(unet_space(space))
    for network in networks:
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


def _decoders(space: DecoderSpace) -> Iterator[Autoencoder]:
    """A block depends on its level and the width of the next one inwards, the middle on its own choices."""
    choices, keys = dict(space.choices()), sorted(space.levels)
    chosen = {name: values[0] for name, values in choices.items()}
    chosen |= {name: max(values) for name, values in choices.items() if name.endswith("blocks")}
    of_separable = ["separable_expansion", "separable_kernel"]
    middle = [f"{keys[-1]}.channels", "middle_attention", "middle_conv"]
    pairs = [
        [f"{outer}.channels", f"{outer}.conv", f"{inner}.channels"]
        for outer, inner in zip(keys, [*keys[1:], keys[-1]], strict=True)
    ]
    for names in [*pairs, middle]:
        for own in _product(choices, list(dict.fromkeys([*names, *of_separable]))):
            yield space.architecture(chosen | own)


def _product(choices: Mapping[str, tuple[Any, ...]], names: list[str]) -> Iterator[dict[str, Any]]:
    for values in product(*(choices[name] for name in names)):
        yield dict(zip(names, values, strict=True))

"""Which parts of a space a price list measures: all where they are few, else chosen widths of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from space.architecture import Architecture
from space.choices import LevelRanges, Space
from space.prices.parts import Family, Part, parts
from space.shared.plain import InputError

MOST_ENTRIES = 300


def parts_of_space(space: Space) -> list[Part]:
    """Every part that a network of the space can have, in a fixed order.

    A conv block depends on the widths of neighbouring levels and on its own choices, a layer on its level's
    width and on what is chosen for layers: the two are gone through one after the other.
    """
    found: dict[Part, None] = {}
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
    most = {f"{key}.{side}": max(getattr(space.levels[key], side)) for key in levels for side in _SIDES}
    for key in levels:
        own = [f"{key}.{name}" for name in ("channels", "self_attention", "cross_attention")]
        for chosen in _product(choices, [*own, *of_layers]):
            yield space.architecture(first | most | chosen)


_SIDES = ("layers_down", "layers_up")
assert set(_SIDES) < set(LevelRanges.__dataclass_fields__)


def _product(choices: Mapping[str, tuple[Any, ...]], names: list[str]) -> Iterator[dict[str, Any]]:
    for values in product(*(choices[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def design(space: Space, most: int = MOST_ENTRIES) -> list[Part]:
    """At most so many parts, among them the least and the most width of every family: nothing of the space
    lies outside, and what lies within can be interpolated.

    Raises:
        InputError: `most` are too few for that.
    """
    families: dict[Family, list[Part]] = defaultdict(list)
    for part in parts_of_space(space):
        families[part.family].append(part)
    if sum(map(len, families.values())) <= most:
        return [part for group in families.values() for part in group]
    per_family = 1
    chosen = [part for group in families.values() for part in spread_out(group, per_family)]
    if len(chosen) > most:
        raise InputError(f"entries: {most} are too few for this space; allowed: {len(chosen)} or more")
    while True:
        more = [part for group in families.values() for part in spread_out(group, per_family + 1)]
        if len(more) > most:
            return chosen
        per_family, chosen = per_family + 1, more


def spread_out(group: list[Part], count: int) -> list[Part]:
    """The extremes of both widths, and then, up to `count`, always what is farthest from the chosen ones."""
    by_inputs = sorted(group, key=lambda part: (part.inputs, part.outputs))
    by_outputs = sorted(group, key=lambda part: (part.outputs, part.inputs))
    chosen = list(dict.fromkeys([by_inputs[0], by_inputs[-1], by_outputs[0], by_outputs[-1]]))
    wide = (
        max(1, by_inputs[-1].inputs - by_inputs[0].inputs),
        max(1, by_outputs[-1].outputs - by_outputs[0].outputs),
    )

    def apart(one: Part) -> float:
        return min(
            ((one.inputs - other.inputs) / wide[0]) ** 2 + ((one.outputs - other.outputs) / wide[1]) ** 2
            for other in chosen
        )

    while len(chosen) < min(count, len(group)):
        chosen.append(max(by_inputs, key=apart))
    return chosen

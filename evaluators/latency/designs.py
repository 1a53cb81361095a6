"""Which parts of a space a price list measures: all where they are few, else chosen widths of each."""

from __future__ import annotations

from collections import defaultdict

from space.prices.coverage import parts_of_space
from space.prices.parts import Family, TimedPart
from space.search_space import AnySpace
from space.shared.plain import InputError

MOST_ENTRIES = 300


def design(space: AnySpace, most: int = MOST_ENTRIES) -> list[TimedPart]:
    """At most so many parts, among them the least and the most width of every family: nothing of the space
    lies outside, and what lies within can be interpolated.

    Raises:
        InputError: `most` are too few for that.
    """
    families: dict[Family, list[TimedPart]] = defaultdict(list)
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


def spread_out(group: list[TimedPart], count: int) -> list[TimedPart]:
    """The extremes of both widths, and then, up to `count`, always what is farthest from the chosen ones."""
    by_inputs = sorted(group, key=lambda part: (part.inputs, part.outputs))
    by_outputs = sorted(group, key=lambda part: (part.outputs, part.inputs))
    chosen = list(dict.fromkeys([by_inputs[0], by_inputs[-1], by_outputs[0], by_outputs[-1]]))
    wide = (
        max(1, by_inputs[-1].inputs - by_inputs[0].inputs),
        max(1, by_outputs[-1].outputs - by_outputs[0].outputs),
    )

    def apart(one: TimedPart) -> float:
        return min(
            ((one.inputs - other.inputs) / wide[0]) ** 2 + ((one.outputs - other.outputs) / wide[1]) ** 2
            for other in chosen
        )

    while len(chosen) < min(count, len(group)):
        chosen.append(max(by_inputs, key=apart))
    return chosen

"""The few architectures of a space that together have each of its parameters at its largest."""

from __future__ import annotations

from typing import Any

from space.architecture import Architecture
from space.choices import Space
from space.prices.macs import price


def corners(space: Space) -> list[Architecture]:
    """The architecture with the most parameters, then the same with every switch at each of its values and
    with every width at its largest or next to it. Together they have each parameter of the space at its
    largest: all grow with each number, but for the 1x1 shortcuts, which are only where widths differ."""
    choices = dict(space.choices())
    switches = {name: values for name, values in choices.items() if type(values[0]) is not int}
    chosen = {name: values[0] if name in switches else max(values) for name, values in choices.items()}
    before: dict[str, Any] = {}
    while chosen != before:
        before = dict(chosen)
        for name, values in switches.items():
            sizes = {v: price(space.architecture(chosen | {name: v})).parameters for v in values}
            if max(sizes.values()) > sizes[chosen[name]]:
                chosen[name] = max(values, key=sizes.__getitem__)
    switched = [{name: value} for name, values in switches.items() for value in values]
    narrower = [
        {name: sorted(values)[-2]}
        for name, values in choices.items()
        if name.endswith(".channels") and len(values) > 1
    ]
    made = [space.architecture(chosen | one | other) for one in [{}, *switched] for other in [{}, *narrower]]
    return list(dict.fromkeys(made))

"""A network by its stages' names in shared weights: which stages can be left out or copied, and what remains.

A stage can be left out where a network without it has the same shapes, so that the identity stands in its
place: each transformer layer (a stack's last one goes with what is projected around it); each conv block of a
middle but the first; and each conv block of a level's way down but the first, together with the block up that
takes the skip connection before its own, which is the same once the block down is the identity. Layers that
followed a block then follow the one before it. A copy stands beside its original, is named for it, and begins
with its weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from space.architecture import Architecture
from space.shared.plain import InputError, nearest

COPY = re.compile(r"\+\d+/")


class NamedUnit(NamedTuple):
    """A conv block and the layers that follow it, by their names at a place: "0" and "0/layer-1", say."""

    conv: str
    layers: tuple[str, ...]


NamedUnits = Mapping[str, tuple[NamedUnit, ...]]
"""By place ("down-1", "middle", "up-1"), in the order of the forward pass."""


@dataclass(frozen=True)
class Subnet:
    """`whole` says all but how many conv blocks and layers there are, which follows from `units`."""

    whole: Architecture
    units: NamedUnits

    @classmethod
    def of(cls, network: Architecture | Subnet) -> Subnet:
        return network if isinstance(network, Subnet) else cls(network, units_of(network))

    @cached_property
    def architecture(self) -> Architecture:
        levels = tuple(
            replace(level, down=self._layers(f"down-{number}"), up=self._layers(f"up-{number}"))
            for number, level in enumerate(self.whole.levels, 1)
        )
        middle = self.whole.middle and replace(self.whole.middle, blocks=self._layers("middle"))
        return replace(self.whole, levels=levels, middle=middle).simplified()

    def _layers(self, place: str) -> tuple[int, ...]:
        return tuple(len(unit.layers) for unit in self.units[place])

    # ------------------------------------------------------------------ stages

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """What can be left out, in the order of the forward pass: "down-2/1", "up-3/0/layer-1"."""
        return tuple(self._stages())

    def _stages(self) -> Iterator[str]:
        for place, units in self.units.items():
            for index, unit in enumerate(units):
                if self._can_go(place, index):
                    yield f"{place}/{unit.conv}"
                yield from (f"{place}/{layer}" for layer in unit.layers)

    def _can_go(self, place: str, index: int) -> bool:
        """Whether a conv block can; what is projected around layers would be others' once they join."""
        if index == 0 or place.startswith("up"):
            return False
        moved = [self.units[at][its].layers for at, its in self._blocks(place, index)]
        return self.whole.stack_projection == "none" or not any(moved)

    def _blocks(self, place: str, index: int) -> Iterator[tuple[str, int]]:
        """Places and indices of the conv blocks that go together."""
        yield place, index
        if place.startswith("down"):
            yield place.replace("down", "up"), len(self.units[place]) - index

    def without(self, *stages: str) -> Subnet:
        """Where these stages are the identity. Raises InputError for one that cannot be left out."""
        subnet = self
        for stage in stages:
            subnet = subnet._without(stage)
        return subnet

    def _without(self, stage: str) -> Subnet:
        place, index, layer = self._found(stage)
        units = self.units[place]
        if layer is not None:
            layers = units[index].layers
            shorter = units[index]._replace(layers=layers[:layer] + layers[layer + 1 :])
            return self._with(place, (*units[:index], shorter, *units[index + 1 :]))
        subnet = self
        for at, its in self._blocks(place, index):
            units = self.units[at]
            joined = units[its - 1]._replace(layers=units[its - 1].layers + units[its].layers)
            subnet = subnet._with(at, (*units[: its - 1], joined, *units[its + 1 :]))
        return subnet

    def with_copy(self, stage: str) -> Subnet:
        """With a copy of a stage beside it. Raises InputError as `without`."""
        place, index, layer = self._found(stage)
        units = self.units[place]
        if layer is not None:
            layers = units[index].layers
            made = _copy_of(layers[layer], [name for unit in units for name in unit.layers])
            longer = units[index]._replace(layers=(*layers[: layer + 1], made, *layers[layer + 1 :]))
            return self._with(place, (*units[:index], longer, *units[index + 1 :]))
        subnet = self
        for at, its in self._blocks(place, index):
            units = self.units[at]
            copy = NamedUnit(_copy_of(units[its].conv, [unit.conv for unit in units]), ())
            its += at == place  # on the way up it stands before, so that copies are a pair as well
            subnet = subnet._with(at, (*units[:its], copy, *units[its:]))
        return subnet

    def after(self, actions: Iterable[str]) -> Subnet:
        """After actions in words: "remove up-3/0/layer-1", "copy down-3/1"."""
        subnet = self
        for action in actions:
            verb, _, stage = action.partition(" ")
            subnet = subnet.with_copy(stage) if verb == "copy" else subnet.without(stage)
        return subnet

    def _found(self, stage: str) -> tuple[str, int, int | None]:
        """Place, index of the unit, and of the layer if it is one."""
        if stage not in self.stages:
            raise InputError(f"stage {stage!r} cannot be left out here; {nearest(stage, self.stages)}")
        place, _, name = stage.partition("/")
        for index, unit in enumerate(self.units[place]):
            if unit.conv == name:
                return place, index, None
            if name in unit.layers:
                return place, index, unit.layers.index(name)
        raise AssertionError(stage)

    def _with(self, place: str, units: tuple[NamedUnit, ...]) -> Subnet:
        return replace(self, units={**self.units, place: units})


def units_of(architecture: Architecture) -> dict[str, tuple[NamedUnit, ...]]:
    """By names that all architectures have: numbers, but on the way up the last block, which joins what
    entered the level, is "last" of all."""
    levels = list(enumerate(architecture.levels, 1))
    found = {f"down-{number}": _numbered(level.down) for number, level in levels}
    if architecture.middle is not None:
        found["middle"] = _numbered(architecture.middle.blocks)
    return found | {f"up-{number}": _numbered(level.up, last="last") for number, level in reversed(levels)}


def _numbered(layers: tuple[int, ...], last: str = "") -> tuple[NamedUnit, ...]:
    names = [str(index) for index in range(len(layers))]
    if last:
        names[-1] = last
    return tuple(
        NamedUnit(name, tuple(f"{name}/layer-{index}" for index in range(count)))
        for name, count in zip(names, layers, strict=True)
    )


def _copy_of(name: str, others: Iterable[str]) -> str:
    taken, number = set(others), 1
    while f"{name}+{number}" in taken:
        number += 1
    return f"{name}+{number}"


def origin(name: str, known: Iterable[str]) -> str:
    """Whose weights a shared parameter begins with, among those that are `known`: its own, or, in a copy, its
    original's."""
    return name if name in known else COPY.sub("/", name, count=1)

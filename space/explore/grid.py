"""A space as a grid of whole numbers, priced by the million with the costs of stages.

A level's convolutions cost what its own choices and its neighbours' channels say (skips join the way up),
its transformers what its own choices say. So a few thousand entries, each taken from the stages of a real
architecture, price every encoding exactly: a candidate is a sum of two entries a level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.architecture import Architecture, composed_id
from space.choices import Space
from space.kinds.stage import Stage
from space.kinds.table import BLOCK_OPTIONS, OWN_OPTIONS
from space.prices.macs import cost_of
from space.stages import STACK, stages

Rows = NDArray[np.int16]
Costs = NDArray[np.int64]

LEVEL_CHOICES = ("conv", "blocks", "layers_down", "layers_up", "self_attention", "cross_attention")
CONV_CHOICES = ("conv", "blocks")
LAYER_GLOBALS = ("feed_forward_ratio", "shared_key_value")
PRICED_GLOBALS = (*BLOCK_OPTIONS, *LAYER_GLOBALS)

# What a network has somewhere, as bits, and which of the choices for the whole network act on that.
LAYERS, SELF_ATTENTION, CROSS_ATTENTION = 1, 2, 4
_WITH_OPTIONS = [kind for kind, options in OWN_OPTIONS.items() if options]
BLOCK_BITS = {kind: 8 << place for place, kind in enumerate(_WITH_OPTIONS)}
N_HAS = 8 << len(_WITH_OPTIONS)
ACTS_ON = {
    **{
        name: sum(BLOCK_BITS[kind] for kind in _WITH_OPTIONS if name in OWN_OPTIONS[kind])
        for name in BLOCK_OPTIONS
    },
    "feed_forward_ratio": LAYERS,
    "activation": LAYERS,
    "shared_key_value": SELF_ATTENTION,
    "attention": SELF_ATTENTION | CROSS_ATTENTION,
}


@dataclass(frozen=True)
class Table:
    """Costs (parameters, MACs, attention MACs) of a part of the network over the choices it depends on."""

    axes: tuple[str, ...]
    costs: Costs


class Grid:
    """The encodings of a space: in a row, the number at a choice's column says which value it takes.

    Raises:
        InputError: where the ranges hold an impossible architecture, with its field.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.values = dict(space.choices())
        self.sizes = {name: len(values) for name, values in self.values.items()}
        self.column = {name: index for index, name in enumerate(self.values)}
        self.keys = sorted(space.levels)
        self.first = space.first
        self.convolutions = [self._convolution_table(index) for index in range(len(self.keys))]
        self.transformers = [self._transformer_table(index) for index in range(len(self.keys))]
        self._texts: dict[tuple[int, ...], str] = {}

    # ------------------------------------------------------------------ rows

    def sample(self, generator: np.random.Generator, count: int) -> Rows:
        """Encodings sampled uniformly, as by random search; inactive choices at their first value."""
        columns = [generator.integers(0, size, count, dtype=np.int16) for size in self.sizes.values()]
        return self.canonical(np.stack(columns, axis=1))

    def row(self, chosen: Mapping[str, Any]) -> Rows:
        """One row (1, choices) from values by name; a choice left out stands at its first value."""
        numbers = [values.index(chosen.get(name, values[0])) for name, values in self.values.items()]
        return self.canonical(np.array([numbers], dtype=np.int16))

    def chosen(self, row: Rows) -> dict[str, Any]:
        """The values of a row (choices,), by name."""
        return {
            name: values[number]
            for (name, values), number in zip(self.values.items(), row.tolist(), strict=True)
        }

    def architecture(self, row: Rows) -> Architecture:
        return self.space.architecture(self.chosen(row))

    def canonical(self, rows: Rows) -> Rows:
        """The same networks with each ignored choice at its first value: equal rows are equal networks."""
        rows, has = rows.copy(), self.has(rows)
        for index, key in enumerate(self.keys):
            bare = (self.has_of_level(index, rows) & LAYERS) == 0
            for name in ("self_attention", "cross_attention"):
                rows[bare, self.column[f"{key}.{name}"]] = 0
        for name, needs in ACTS_ON.items():
            rows[(has & needs) == 0, self.column[name]] = 0
        return rows

    # ------------------------------------------------------------------ what a network has

    @cached_property
    def has_in_middle(self) -> int:
        """What the middle of the network has; no choice changes it."""
        middle = self.first.middle
        return (
            0
            if middle is None
            else _has(middle.conv, middle.layers, middle.self_attention, middle.cross_attention)
        )

    @cached_property
    def level_has(self) -> list[NDArray[np.uint8]]:
        """For each level, over its `LEVEL_CHOICES`, what it has."""
        arrays = []
        for key in self.keys:
            values = [self.values[f"{key}.{name}"] for name in LEVEL_CHOICES]
            has = [_has(conv, down + up, sa, ca) for conv, _, down, up, sa, ca in product(*values)]
            arrays.append(np.array(has, dtype=np.uint8).reshape([len(value) for value in values]))
        return arrays

    def has_of_level(self, index: int, rows: Rows) -> NDArray[np.uint8]:
        axes = [f"{self.keys[index]}.{name}" for name in LEVEL_CHOICES]
        return self.level_has[index][self._at(axes, rows)]

    def has(self, rows: Rows) -> NDArray[np.uint8]:
        """For each row, what the network has, as bits."""
        total = np.full(len(rows), self.has_in_middle, dtype=np.uint8)
        for index in range(len(self.keys)):
            total |= self.has_of_level(index, rows)
        return total

    # ------------------------------------------------------------------ prices

    def price(self, rows: Rows) -> Costs:
        """(rows, 3): parameters, MACs, attention MACs, equal to `space.prices.macs.price` of each."""
        costs = np.zeros((len(rows), 3), dtype=np.int64)
        for table in (*self.convolutions, *self.transformers):
            costs += table.costs[self._at(table.axes, rows)]
        return costs

    def _at(self, axes: tuple[str, ...] | list[str], rows: Rows) -> tuple[NDArray[np.int16], ...]:
        return tuple(rows[:, self.column[name]] for name in axes)

    def _convolution_table(self, index: int) -> Table:
        near = [key for at, key in enumerate(self.keys) if abs(at - index) == 1]
        own = self.keys[index]
        channels = [f"{key}.channels" for key in sorted([*near, own])]
        axes = (*channels, *(f"{own}.{name}" for name in CONV_CHOICES), *BLOCK_OPTIONS)
        return self._table(index, axes, lambda stage: stage.kind not in STACK)

    def _transformer_table(self, index: int) -> Table:
        own = self.keys[index]
        names = ("channels", *(name for name in LEVEL_CHOICES if name != "conv"))
        axes = (*(f"{own}.{name}" for name in names), *LAYER_GLOBALS)
        return self._table(index, axes, lambda stage: stage.kind in STACK)

    def _table(self, index: int, axes: tuple[str, ...], counts: Callable[[Stage], bool]) -> Table:
        first = {name: values[0] for name, values in self.values.items()}
        entries = []
        for picked in product(*(self.values[name] for name in axes)):
            network = stages(self.space.architecture(first | dict(zip(axes, picked, strict=True))))
            parts = [cost_of(stage) for stage in network if self._level_of(stage) == index and counts(stage)]
            entries.append([sum(part[field] for part in parts) for field in range(3)])
        shape = [self.sizes[name] for name in axes]
        return Table(axes, np.array(entries, dtype=np.int64).reshape(*shape, 3))

    def _level_of(self, stage: Stage) -> int:
        """The level whose choices price a stage; the middle is as wide as the innermost one."""
        if stage.where == "middle":
            return len(self.keys) - 1
        side, _, number = stage.where.partition("-")
        return int(number) - 1 if side in ("down", "up") else 0

    # ------------------------------------------------------------------ ids

    def ids(self, rows: Rows) -> list[str]:
        """`Architecture.id` of each canonical row, put together from the texts of parts met before."""
        columns = [
            self._parts(rows, [f"{key}.{name}" for name in self.space.levels[key].__dataclass_fields__], at)
            for at, key in enumerate(self.keys)
        ]
        around = self._parts(rows, list(ACTS_ON), None)
        return [composed_id(text, levels) for text, *levels in zip(around, *columns, strict=True)]

    def _parts(self, rows: Rows, names: list[str], level: int | None) -> list[str]:
        """The text of one level, or of what stands around the levels ("@"), for each row."""
        sizes = [self.sizes[name] for name in names]
        kinds = np.ravel_multi_index([rows[:, self.column[name]].astype(np.intp) for name in names], sizes)
        if level is None:  # the same choices act or not by what the network has
            kinds = kinds * N_HAS + self.has(rows)
        unique, first, inverse = np.unique(kinds, return_index=True, return_inverse=True)
        texts = []
        for kind, row in zip(unique.tolist(), rows[first], strict=True):
            key = (-1 if level is None else level, kind)
            if key not in self._texts:
                around, levels = self.architecture(row).identity_parts()
                self._texts[key] = around if level is None else levels[level]
            texts.append(self._texts[key])
        return [texts[index] for index in inverse.tolist()]


def _has(conv: str, layers: int, self_attention: bool, cross_attention: bool) -> int:
    attends = SELF_ATTENTION * self_attention | CROSS_ATTENTION * cross_attention
    return BLOCK_BITS.get(conv, 0) | (LAYERS | attends if layers else 0)

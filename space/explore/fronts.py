"""The edges of a space in the plane of parameters and MACs, exactly, without listing what lies between.

None of them is a front of quality: a price says nothing of that. They say what can be bought.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from space.explore.counting import Group, grid_groups, n_groups
from space.explore.grid import LEVEL_CHOICES, Costs, Grid, Rows

MOST_GROUPS = 200_000  # at about 0.4 ms per group and edge

Front = Literal["smallest", "most_parameters", "fewest_parameters"]

MEANS: dict[Front, str] = {
    "smallest": "none has fewer parameters and fewer MACs",
    "most_parameters": "none has more parameters for fewer MACs",
    "fewest_parameters": "none has fewer parameters for more MACs",
}
SIGNS: dict[Front, tuple[int, int]] = {
    "smallest": (1, 1),
    "most_parameters": (-1, 1),
    "fewest_parameters": (1, -1),
}


@dataclass(frozen=True)
class Edge:
    """A front of the whole space: a network per row, by rising MACs, and its price (rows, 3)."""

    rows: Rows
    costs: Costs


def edges_of(grid: Grid) -> Iterator[tuple[Front, Edge]]:
    """Every edge, one after another; none where the space is too large for minutes."""
    if n_groups(grid) <= MOST_GROUPS:
        for which in MEANS:
            yield which, edge(grid, which)


def edge(grid: Grid, which: Front) -> Edge:
    """One edge of the space. Where several networks cost the same, one of them stands for all."""
    signs = np.array(SIGNS[which])
    costs: list[Costs] = []
    rows: list[Rows] = []
    for group in grid_groups(grid):
        own_costs, options = _edge_of(group, signs)
        costs.append(own_costs)
        rows.append(_rows(grid, group, options))
    every, every_row = np.concatenate(costs), np.concatenate(rows)
    kept = undominated(every * signs)
    kept = kept[np.argsort(every[kept, 1])]
    best = grid.canonical(every_row[kept])
    return Edge(best, grid.price(best))


def undominated(points: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of the (points, 2) that no other is below in both coordinates; of equal ones the first."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    second = points[order, 1]
    lowest = np.minimum.accumulate(second)
    return order[np.concatenate([[True], second[1:] < lowest[:-1]])]


def _edge_of(group: Group, signs: NDArray[np.int64]) -> tuple[Costs, NDArray[np.intp]]:
    """A group's edge: its costs, and the option of each level. A sum on the edge has its parts on theirs."""
    costs, options = np.zeros((1, 2), dtype=np.int64), np.zeros((1, 0), dtype=np.intp)
    for level in (costs[:, :2] for costs in group.costs):
        own = undominated(level * signs)
        sums = (costs[:, None] + level[own]).reshape(-1, 2)
        pairs = np.column_stack([np.repeat(options, len(own), axis=0), np.tile(own, len(costs))])
        kept = undominated(sums * signs)
        costs, options = sums[kept], pairs[kept]
    return costs, options


def _rows(grid: Grid, group: Group, options: NDArray[np.intp]) -> Rows:
    rows = np.zeros((len(options), len(grid.column)), dtype=np.int16)
    for name, number in group.numbers.items():
        rows[:, grid.column[name]] = number
    for index, key in enumerate(grid.keys):
        picked = np.unravel_index(options[:, index], grid.level_has[index].shape)
        for name, numbers in zip(LEVEL_CHOICES, picked, strict=True):
            rows[:, grid.column[f"{key}.{name}"]] = numbers
    return rows

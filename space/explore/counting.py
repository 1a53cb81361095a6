"""How many networks a space holds, and how many of them fit a budget: counted, not estimated.

A choice that acts on nothing makes two encodings one network: where attention stands in a level without
layers, the expansion where nothing is separable, shared keys and values without self-attention, and so
on. What acts depends only on which of a few things a network has (`grid.ACTS_ON`), so a level's options
are folded into the next level's by what they have, and nothing is ever listed whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import floor, prod

import numpy as np
from numpy.typing import NDArray

from space.budget import PRICES, Budget
from space.explore.grid import ACTS_ON, LAYERS, N_HAS, PRICED_GLOBALS, Costs, Grid
from space.kinds.rules import Cost
from space.shared.plain import InputError

# Pairs of a folded outside and an innermost level, at about a thousand million in two seconds.
MOST_PAIRS = 20_000_000_000
MOST_FOLDED = 4_000_000


@dataclass(frozen=True)
class SpaceCount:
    """Encodings, which random search samples from, and the distinct networks that they describe."""

    encodings: int
    networks: int


def count(grid: Grid) -> SpaceCount:
    """All of a space, exactly."""
    folded = Counter({grid.has_in_middle: 1})
    for index, key in enumerate(grid.keys):
        kept = grid.level_has[index][_is_canonical(grid, index)]
        level = Counter((kept.ravel()).tolist())
        both: Counter[int] = Counter()
        for (before, many), (own, options) in product(folded.items(), level.items()):
            both[before | own] += many * options * grid.sizes[f"{key}.channels"]
        folded = both
    networks = sum(
        many * prod(grid.sizes[name] for name, needs in ACTS_ON.items() if has & needs)
        for has, many in folded.items()
    )
    return SpaceCount(grid.space.encodings, networks)


def count_within(grid: Grid, budget: Budget) -> SpaceCount | None:
    """Those that fit a budget, exactly; None where the space is too large for minutes.

    Raises:
        InputError: a bound on a price that is no sum over stages.
    """
    check_summed(budget)
    if not is_countable(grid):
        return None
    bounds = budget.bounds()
    limits = np.array([_largest(bound, PRICES[name].per) for name, bound in bounds.items()], dtype=np.int64)
    total = np.zeros(2, dtype=object)
    for group in grid_groups(grid):
        total += _within(grid, group, budget, limits)
    return SpaceCount(int(total[0]), int(total[1]))


def check_summed(budget: Budget) -> None:
    """Raises InputError for a bound on a price that is no sum over stages: nothing here could hold it."""
    for name in budget.bounds():
        if not PRICES[name].summed:
            raise InputError(
                f"budget.{name}: a map adds up the prices of stages, and {budget.unit(name)} are no sum; "
                "allowed here: null"
            )


def is_countable(grid: Grid) -> bool:
    options = [has.size for has in grid.level_has]
    return n_groups(grid) * prod(options) <= MOST_PAIRS and prod(options[:-1]) <= MOST_FOLDED


# ---------------------------------------------------------------------- groups


@dataclass(frozen=True)
class Group:
    """The encodings that agree on every level's channels and on the priced choices for the whole network.

    Inside a group the price is a sum over levels: `costs[i]` (options of level i, 3) holds parameters, MACs
    and attention MACs, the options in the order of `grid.level_has[i]`.
    """

    numbers: dict[str, int]
    costs: list[Costs]


def n_groups(grid: Grid) -> int:
    return prod(grid.sizes[name] for name in _shared(grid))


def grid_groups(grid: Grid) -> Iterator[Group]:
    names = _shared(grid)
    for numbers in product(*(range(grid.sizes[name]) for name in names)):
        at = dict(zip(names, numbers, strict=True))
        yield Group(at, [_level_costs(grid, index, at) for index in range(len(grid.keys))])


def _shared(grid: Grid) -> list[str]:
    return [*(f"{key}.channels" for key in grid.keys), *PRICED_GLOBALS]


def _level_costs(grid: Grid, index: int, at: dict[str, int]) -> Costs:
    convolutions = _pick(grid.convolutions[index].axes, grid.convolutions[index].costs, at)
    layers = _pick(grid.transformers[index].axes, grid.transformers[index].costs, at)
    # (conv, blocks) beside (blocks, layers down, layers up, self-attention, cross-attention)
    both = convolutions[:, :, None, None, None, None] + layers[None]
    costs: Costs = both.reshape(-1, 3)
    return costs


def _pick(axes: tuple[str, ...], costs: Costs, at: dict[str, int]) -> Costs:
    picked: Costs = costs[tuple(at.get(name, slice(None)) for name in axes)]
    return picked


# ---------------------------------------------------------------------- inside a group


def _within(grid: Grid, group: Group, budget: Budget, limits: NDArray[np.int64]) -> NDArray[np.object_]:
    """(encodings, networks) of a group whose bounded amounts are within `limits`."""
    n = len(limits)
    costs, has, weights = np.zeros((1, n), dtype=np.int64), np.array([grid.has_in_middle]), np.ones((1, 2))
    levels = [_merged(grid, index, _amounts(budget, group.costs[index])) for index in range(len(grid.keys))]
    *outside, last = levels
    for own_costs, own_has, own_weights in outside:
        costs = (costs[:, None] + own_costs).reshape(len(costs) * len(own_costs), n)
        has = (has[:, None] | own_has).ravel()
        weights = (weights[:, None] * own_weights).reshape(-1, 2)
    amounts = np.ascontiguousarray(costs.T)
    times = _times(grid, group)
    by_has = {
        own: np.stack([weights[:, 0], weights[:, 1] * times[has | own]])
        for own in np.unique(last[1]).tolist()
    }
    total = np.zeros(2)
    for own_costs, own, own_weights in zip(last[0], last[1].tolist(), last[2], strict=True):
        fits = np.ones(len(costs), dtype=bool)
        for amount, left in zip(amounts, limits - own_costs, strict=True):
            fits &= amount <= left
        total += own_weights * (by_has[own] @ fits.astype(np.float64))  # whole numbers far below 2^53
    unpriced = prod(grid.sizes[name] for name in ACTS_ON if name not in PRICED_GLOBALS)
    return np.array([int(total[0]) * unpriced, int(total[1])], dtype=object)


def _amounts(budget: Budget, costs: Costs) -> Costs:
    """(options, 3) costs to (options, bounds): what each bound counts, as whole numbers."""
    columns = Cost(*costs.T)
    amounts = [PRICES[name].amount(columns, budget.precision) for name in budget.bounds()]
    return np.array(amounts, dtype=np.int64).reshape(len(amounts), len(costs)).T


def _merged(grid: Grid, index: int, costs: Costs) -> tuple[Costs, NDArray[np.int64], NDArray[np.float64]]:
    """A level's options with equal ones put together: costs, what they have, (encodings, networks)."""
    table = np.column_stack([costs, grid.level_has[index].ravel()])
    unique, inverse = np.unique(table, axis=0, return_inverse=True)
    networks = np.bincount(inverse, weights=_is_canonical(grid, index).ravel())
    weights = np.column_stack([np.bincount(inverse).astype(np.float64), networks])
    return unique[:, :-1], unique[:, -1], weights


def _times(grid: Grid, group: Group) -> NDArray[np.float64]:
    """By what a network has: how many networks its choices in this group stand for.

    A priced choice that acts on nothing counts at its first value only; one that is not priced counts as
    often as it has values, if it acts.
    """
    times = np.ones(N_HAS)
    for has, (name, needs) in product(range(N_HAS), ACTS_ON.items()):
        acts = bool(has & needs)
        if name in PRICED_GLOBALS:
            times[has] *= acts or group.numbers[name] == 0
        else:
            times[has] *= grid.sizes[name] if acts else 1
    return times


def _is_canonical(grid: Grid, index: int) -> NDArray[np.bool_]:
    """Over a level's options: is each ignored choice at its first value?"""
    has = grid.level_has[index]
    first = np.zeros(has.shape, dtype=bool)
    first[..., 0, 0] = True  # self- and cross-attention are the last two axes
    return (has & LAYERS != 0) | first


def _largest(bound: float, unit: float) -> int:
    """The largest whole number that `Budget` lets through."""
    number = floor(bound * unit)
    while (number + 1) / unit <= bound:
        number += 1
    while number / unit > bound:
        number -= 1
    return number

"""Sample a space by the million, in bounded memory; look around one network of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.architecture import Architecture
from space.budget import Budget
from space.difference import difference
from space.explore.grid import Costs, Grid, Rows
from space.prices.macs import Cost, price
from space.search_space import step_of

SAMPLES_PER_CHUNK = 50_000
BINS = 160
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Density:
    """How many of the samples lie where: (parameters, MACs) bins, evenly spaced on logarithmic axes."""

    counts: NDArray[np.int64]
    parameters: NDArray[np.float64]
    macs: NDArray[np.float64]


@dataclass(frozen=True)
class Survey:
    """What was sampled. `no_larger[name]`: how many exceed that network neither in parameters nor in MACs."""

    samples: int
    fits: int
    no_larger: dict[str, int]
    density: Density

    @property
    def share(self) -> float:
        return self.fits / self.samples


Chunk = Callable[[Rows, Costs, NDArray[np.bool_]], None]


def survey(
    grid: Grid, samples: int, seed: int, budget: Budget, known: Mapping[str, Cost], each: Chunk | None = None
) -> Survey:
    """`samples` encodings, uniformly and with replacement; the same for the same seed.

    `known` are networks to compare with; `each(rows, costs, fits)` is called for every chunk of up to
    `SAMPLES_PER_CHUNK` rows, in order.
    """
    parameters, macs = _bins(grid)
    counts = np.zeros((BINS, BINS), dtype=np.int64)
    no_larger, fitting = dict.fromkeys(known, 0), 0
    for rows, costs in chunks(grid, samples, seed):
        fits = fits_budget(budget, costs)
        fitting += int(fits.sum())
        counts += np.histogram2d(costs[:, 0], costs[:, 1], bins=(parameters, macs))[0].astype(np.int64)
        for name, cost in known.items():
            no_larger[name] += int(((costs[:, 0] <= cost.parameters) & (costs[:, 1] <= cost.macs)).sum())
        if each is not None:
            each(rows, costs, fits)
    return Survey(samples, fitting, no_larger, Density(counts, parameters, macs))


def chunks(grid: Grid, samples: int, seed: int) -> Iterator[tuple[Rows, Costs]]:
    generator = np.random.default_rng(seed)
    for start in range(0, samples, SAMPLES_PER_CHUNK):
        rows = grid.sample(generator, min(SAMPLES_PER_CHUNK, samples - start))
        yield rows, grid.price(rows)


def fits_budget(budget: Budget, costs: Costs) -> NDArray[np.bool_]:
    """Which of (rows, 3) costs fit, as `Budget.excess` would say one by one. Raises as that does."""
    fits = np.ones(len(costs), dtype=bool)
    bounds, columns = budget.bounds(), Cost(*costs.T)
    for name, prices in budget.amounts(columns).items():
        fits &= prices <= bounds[name]
    return fits


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: right at 0 and at 1 too, where the usual one has no width."""
    share, z2 = hits / of, NORMAL_95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def _bins(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges that hold every candidate: no part is below its least or above its most."""
    tables = [table.costs.reshape(-1, 3) for table in (*grid.convolutions, *grid.transformers)]
    least, most = sum(table.min(axis=0) for table in tables), sum(table.max(axis=0) for table in tables)
    parameters, macs = (np.geomspace(0.999 * least[at], 1.001 * most[at], BINS + 1) for at in (0, 1))
    return parameters, macs


# ---------------------------------------------------------------------- around one network


@dataclass(frozen=True)
class Neighbour:
    """A network one choice away: how many steps of that choice, what changes, and what it then costs."""

    choice: str
    value: Any
    steps: int
    changes: tuple[str, ...]
    architecture: Architecture
    cost: Cost


def neighbours(grid: Grid, of: Architecture) -> list[Neighbour]:
    """Every network of the space that differs from `of` in one choice, nearest first.

    Nearest: fewest steps (evenly spaced numbers have steps, all else is one step apart), then the
    smallest relative change of the price.

    Raises:
        InputError: where `of` is not a point of the space, saying why.
    """
    origin = grid.row(grid.space.encode(of))
    base, found = price(of), []
    for name, values in grid.space.free().items():
        at = int(origin[0, grid.column[name]])
        for number, value in enumerate(values):
            row = origin.copy()
            row[0, grid.column[name]] = number
            row = grid.canonical(row)
            if np.array_equal(row, origin):  # no change, or nothing it acts on
                continue
            steps = abs(number - at) if step_of(values) is not None else 1
            other = grid.architecture(row[0])
            cost = price(other)
            found.append(Neighbour(name, value, steps, tuple(difference(of, other)), other, cost))
    return sorted(found, key=lambda n: (n.steps, _change(base, n.cost)))


def _change(base: Cost, cost: Cost) -> float:
    return abs(cost.parameters / base.parameters - 1) + abs(cost.macs / base.macs - 1)

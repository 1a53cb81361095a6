"""What was found in a space, as text and as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from space.architecture import Architecture
from space.budget import Budget
from space.explore.counting import SpaceCount
from space.explore.fronts import MEANS, Edge, Front
from space.explore.grid import Grid
from space.explore.survey import Neighbour, Survey, fits_budget, interval
from space.prices.macs import Cost

SHOWN_OF_AN_EDGE = 6


@dataclass(frozen=True)
class PublishedNetwork:
    """A network of conf/arch in the plane; `outside` says why it is no point of the space, None: it is."""

    name: str
    cost: Cost
    outside: str | None


@dataclass(frozen=True)
class Map:
    """All that the command finds; where a space is too large for it, `fits_budget` is None, `edges` empty."""

    grid: Grid
    budget: Budget
    count: SpaceCount
    within: SpaceCount | None
    survey: Survey
    edges: dict[Front, Edge]
    published: list[PublishedNetwork]
    near: tuple[str, Architecture, Cost] | None
    neighbours: list[Neighbour]
    seconds: float
    seed: int


def to_json(found: Map) -> dict[str, Any]:
    """Plain data: shares between 0 and 1, MACs as whole numbers, edges and neighbours in full."""
    survey, budget = found.survey, found.budget
    return {
        "encodings": found.count.encodings,
        "networks": found.count.networks,
        "budget": budget.to_plain(),
        "fits": None
        if found.within is None
        else {"encodings": found.within.encodings, "networks": found.within.networks},
        "drawn": {  # the name in files of earlier versions
            "draws": survey.samples,
            "seed": found.seed,
            "fits": survey.fits,
            "share": survey.share,
            "share_95_percent": interval(survey.fits, survey.samples),
        },
        "published": [
            {
                "name": at.name,
                **at.cost._asdict(),
                "fits": not budget.excess(at.cost),
                "outside_the_space": at.outside,
                "share_no_larger": survey.no_larger[at.name] / survey.samples,
            }
            for at in found.published
        ],
        "edges": {name: _edge_json(found.grid, part) for name, part in found.edges.items()},
        "near": None
        if found.near is None
        else {"name": found.near[0], "id": found.near[1].id, **found.near[2]._asdict()},
        "neighbours": [
            {
                "id": other.architecture.id,
                "choice": other.choice,
                "value": other.value,
                "steps": other.steps,
                "changes": list(other.changes),
                **other.cost._asdict(),
                "fits": not budget.excess(other.cost),
            }
            for other in found.neighbours
        ],
        "seconds": round(found.seconds, 1),
    }


def _edge_json(grid: Grid, part: Edge) -> list[dict[str, Any]]:
    return [
        {"id": name, "parameters": costs[0], "macs": costs[1], "choices": grid.chosen(row)}
        for name, costs, row in zip(grid.ids(part.rows), part.costs.tolist(), part.rows, strict=True)
    ]


# ---------------------------------------------------------------------- text


def print_map(found: Map, shown_neighbours: int, console: Console) -> None:
    _print_lines(console, _sizes(found))
    console.print(_published_table(found))
    outside = [f"{at.name} is no point of the space: {at.outside}" for at in found.published if at.outside]
    _print_lines(console, outside)
    for name in found.edges:
        console.print(_edge_table(found, name))
    _print_lines(console, _bought(found))
    if found.near is not None and shown_neighbours:
        console.print(_neighbours_table(found, found.near, shown_neighbours))
    console.print(
        f"{found.survey.samples:,} sampled and priced, the whole space counted, in {found.seconds:.0f} s"
    )


def _print_lines(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print()


def _sizes(found: Map) -> list[str]:
    whole, part, survey = found.count, found.within, found.survey
    low, high = interval(survey.fits, survey.samples)
    lines = [
        f"the space: {whole.encodings:,} encodings of {whole.networks:,} distinct networks",
        f"the budget: {_bounds(found.budget)}",
    ]
    if part is None:
        lines.append("fit: too many to count in minutes, so estimated from a sample")
    else:
        lines.append(
            f"fit, counted: {part.encodings:,} encodings ({_percent(part.encodings / whole.encodings)}), "
            f"{part.networks:,} networks ({_percent(part.networks / whole.networks)})"
        )
    estimate = f"fit, of {survey.samples:,} encodings sampled uniformly (seed {found.seed}): "
    lines.append(f"{estimate}{_percent(survey.share)} (95 % interval {_percent(low)} to {_percent(high)})")
    return lines


def _bounds(budget: Budget) -> str:
    named = budget.words()
    return f"at most {' and '.join(named)}" if named else "no bound"


def _published_table(found: Map) -> Table:
    columns = ("parameters (M)", "GMACs", "budget", "in the space", "no larger, of sampled")
    table = _table("published networks", *columns)
    for at in sorted(found.published, key=lambda at: at.cost.macs):
        share = found.survey.no_larger[at.name] / found.survey.samples
        fits = "over" if found.budget.excess(at.cost) else "fits"
        place = "yes" if at.outside is None else "no"
        table.add_row(at.name, *_price(at.cost), fits, place, _percent(share))
    return table


def _edge_table(found: Map, name: Front) -> Table:
    """The ends of an edge and some points between: what can be bought, which is not what is good."""
    part = found.edges[name]
    title = f"edge: {MEANS[name]}; {len(part.rows):,} in all"
    table = _table(title, "parameters (M)", "GMACs", "budget", "channels", "layers", first="id")
    fits = fits_budget(found.budget, part.costs)
    for at in np.unique(np.linspace(0, len(part.rows) - 1, SHOWN_OF_AN_EDGE).round().astype(int)):
        a, cost = found.grid.architecture(part.rows[at]), Cost(*part.costs[at].tolist())
        channels = " ".join(str(level.channels) for level in a.levels)
        layers = " ".join(str(level.layers) for level in a.levels)
        table.add_row(a.id, *_price(cost), "fits" if fits[at] else "over", channels, layers)
    return table


def _bought(found: Map) -> list[str]:
    """What the space offers beside one network: at its MACs, and at its parameters."""
    if found.near is None or not found.edges:
        return []
    name, _, cost = found.near
    costs = found.edges["most_parameters"].costs  # by rising MACs, so by rising parameters
    most = costs[costs[:, 1] <= cost.macs][-1]
    fewest = costs[costs[:, 0] >= cost.parameters][0]
    return [
        f"for {name}'s {cost.gmacs:.2f} GMACs or fewer: at most {most[0] / 1e6:.1f} M parameters "
        f"({name}: {cost.parameters / 1e6:.1f})",
        f"for {name}'s {cost.parameters / 1e6:.1f} M parameters or more: at least "
        f"{fewest[1] / 1e9:.2f} GMACs ({name}: {cost.gmacs:.2f})",
    ]


def _neighbours_table(found: Map, near: tuple[str, Architecture, Cost], shown: int) -> Table:
    name, _, base = near
    near_by = found.neighbours[:shown]
    title = f"neighbours of {name}: the nearest {len(near_by)} of {len(found.neighbours)} one choice away"
    table = _table(title, "parameters (M)", "GMACs", "budget", "what changes", first="id")
    for other in near_by:
        parameters, gmacs = _price(other.cost)
        table.add_row(
            other.architecture.id,
            f"{parameters} ({_signed((other.cost.parameters - base.parameters) / 1e6)})",
            f"{gmacs} ({_signed(other.cost.gmacs - base.gmacs)})",
            "over" if found.budget.excess(other.cost) else "fits",
            Text("; ".join(other.changes)),
        )
    return table


def _table(title: str, *columns: str, first: str = "") -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for name in columns:
        numeric = name in ("parameters (M)", "GMACs", "no larger, of sampled")
        table.add_column(name, justify="right" if numeric else "left")
    return table


def _signed(change: float) -> str:
    return f"{change:+.2f}" if change else "0"


def _price(cost: Cost) -> tuple[str, str]:
    return f"{cost.parameters / 1e6:.2f}", f"{cost.gmacs:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"

"""`mdsearch explore`: a map of a space. What it prints is worked out in `space.explore`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from conf.compose import architecture_texts, compose
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.explore.counting import check_summed, count, count_within
from space.explore.files import WRITERS, CandidateFile, check_path
from space.explore.fronts import MEANS, Edge, Front, edges_of
from space.explore.grid import Grid
from space.explore.report import Map, PublishedNetwork, print_map, to_json
from space.explore.style import PLOT_ENDINGS
from space.explore.survey import Survey, neighbours, survey
from space.prices.macs import Cost, price
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain, nearest


@dataclass(frozen=True)
class ExploreSettings:
    """What conf/explore.yaml holds."""

    space: Space
    budget: Budget
    samples: int = 1_000_000
    seed: int = 0
    near: str | None = "md"
    neighbours: int = 5
    out: str | None = None
    plot: str | None = None
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("seed", 0), ("neighbours", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: {least} or more")
        for name, endings in (("out", WRITERS), ("plot", PLOT_ENDINGS)):
            if getattr(self, name) is not None:
                check_path(name, Path(getattr(self, name)), endings)


def main(words: list[str]) -> int:
    settings: ExploreSettings = from_plain(ExploreSettings, compose("explore", words))
    settings.space.check_order()
    found = explore(settings)
    if settings.format == "json":
        print(json.dumps(to_json(found), indent=2))
    else:
        print_map(found, settings.neighbours, command_console())
    if settings.plot is not None:
        from space.explore.plot import plot_map  # matplotlib takes a second to import

        plot_map(found, Path(settings.plot))
    return 0


def explore(settings: ExploreSettings) -> Map:
    """All that is printed and plotted; writes the table of candidates where one is asked for."""
    started = time.perf_counter()
    check_summed(settings.budget)
    grid, budget = Grid(settings.space), settings.budget
    published = [_located(name, cost, a, grid) for name, (cost, a) in _published().items()]
    near = None if settings.near is None else _named(settings.near)
    try:
        around = [] if near is None else neighbours(grid, near)
    except InputError as error:
        said = f"near: {settings.near} is no point of this space: {error}; near=null looks around none"
        raise InputError(said) from None
    with _progress() as progress:
        task = progress.add_task("counting, edges", total=1 + len(MEANS))
        within = count_within(grid, budget)
        progress.advance(task)
        edges: dict[Front, Edge] = {}
        for which, found in edges_of(grid):
            edges[which] = found
            progress.advance(task)
        sampled = _sample(grid, settings, {at.name: at.cost for at in published}, progress)
    return Map(
        grid=grid,
        budget=budget,
        count=count(grid),
        within=within,
        survey=sampled,
        edges=edges,
        published=published,
        near=None if near is None else (str(settings.near), near, price(near)),
        neighbours=around,
        seconds=time.perf_counter() - started,
        seed=settings.seed,
    )


def _sample(grid: Grid, settings: ExploreSettings, known: dict[str, Cost], progress: Progress) -> Survey:
    file = None if settings.out is None else CandidateFile(Path(settings.out), grid)
    task = progress.add_task("sampling, pricing", total=settings.samples)

    def each(rows: Any, costs: Any, fits: Any) -> None:
        if file is not None:
            file.write(rows, costs, fits)
        progress.advance(task, len(rows))

    arguments = (grid, settings.samples, settings.seed, settings.budget, known, each)
    if file is None:
        return survey(*arguments)
    with file:
        return survey(*arguments)


def _progress() -> Progress:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*parts, console=command_console(stderr=True), transient=True)


# ---------------------------------------------------------------------- networks by name


def _published() -> dict[str, tuple[Cost, Architecture | None]]:
    """Every network of conf/arch with its price; the DiT is no Architecture."""
    from space import dit  # torch takes seconds to import

    found: dict[str, tuple[Cost, Architecture | None]] = {}
    files = [
        file for file in resources.files("conf").joinpath("arch").iterdir() if file.name.endswith(".yaml")
    ]
    for file in sorted(files, key=lambda file: file.name):
        plain, name = yaml.safe_load(file.read_text("utf-8")), file.name.removesuffix(".yaml")
        if "patch" in plain:
            found[name] = (dit.dit_price(from_plain(dit.DiT, plain, name)), None)
        else:
            a = Architecture.from_plain(plain, name)
            found[name] = (price(a), a)
    return found


def _located(name: str, cost: Cost, a: Architecture | None, grid: Grid) -> PublishedNetwork:
    if a is None:
        return PublishedNetwork(name, cost, "a transformer without levels")
    try:
        grid.space.encode(a)
    except InputError as error:
        return PublishedNetwork(name, cost, str(error))
    return PublishedNetwork(name, cost, None)


def _named(name: str) -> Architecture:
    """A preset of conf/arch, or else a file."""
    own = architecture_texts([name])
    if own:
        return Architecture.from_yaml(own[f"arch={name}"], name)
    if Path(name).suffix in (".yaml", ".yml"):
        return Architecture.load(name)
    known = {preset: a for preset, (_, a) in _published().items() if a is not None}
    if name not in known:
        raise InputError(f"near: no preset {name!r}; {nearest(name, known)}, or a file.yaml")
    return known[name]

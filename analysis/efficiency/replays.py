"""How soon a strategy completes a good network, on recorded runs.

Strategies replay the recorded networks (docs/replay.md) with shared seeds, so that they compare in pairs: a
seed gives two strategies the same samples, and of a network recorded several times, the same run. Which
networks a seed replays, and which have taught the strategies that begin with what recorded networks know, is
drawn (`analysis.efficiency.draws`): the mean over a draw's seeds is one figure, intervals are over draws.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from analysis.efficiency.draws import Draw, Half, counted_half
from analysis.efficiency.figures import StrategyFigures, gain_rows, plain_of, quality_rows, steps_rows
from analysis.rendering import render_table
from analysis.replay.table import RecordedTable, check_rungs
from analysis.replay.tries import ReplayStrategy, Truth, replay
from search.formats import counted
from search.samplers.factory import SamplerSettings
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain
from space.shared.workers import in_workers

TRUE_TOP_SHARE = 0.05


@dataclass(frozen=True)
class EfficiencySettings:
    """What conf/efficiency.yaml holds."""

    half: Half = "held_out"
    halves: int | None = 20
    seeds: int = 10
    share: float = 1.0
    processes: int = 1
    budgets: tuple[float, ...] = (4.0, 8.0, 12.0)
    also: tuple[str, ...] = ()
    out: str | None = None

    def __post_init__(self) -> None:
        if self.halves is None and self.seeds < 2:
            raise InputError(f"seeds: {self.seeds} is too few for an interval; allowed: 2 or more")
        if self.halves is not None and self.halves < 2:
            raise InputError(f"halves: {self.halves} is too few for an interval; allowed: 2 or more, or null")
        for name in ("seeds", "processes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: 1 or more")
        if not 0 < self.share <= 1:
            raise InputError(f"share: {self.share:g} is not a share; allowed: above 0, up to 1")
        if self.halves is not None and self.share != 1:
            raise InputError(f"share: {self.share:g} of no half that is drawn; allowed: with halves=null")
        if not self.budgets or min(self.budgets) <= 0:
            raise InputError(f"budgets: {list(self.budgets)}; allowed: full lengths above 0, as in [4,8,12]")


@dataclass(frozen=True)
class Replaying:
    """What replays each draw. `taught` names the strategies that begin with what its teachers know; `noise`
    is that of single runs, and `budgets` full lengths of training."""

    strategies: tuple[ReplayStrategy, ...]
    taught: frozenset[str]
    noise: Noise
    budgets: tuple[float, ...]

    @property
    def without_stopping(self) -> dict[str, str]:
        """By each strategy that may stop trials the same one that stops none, where there is one."""
        none = {self._but_for_stopping(each): each.name for each in self.strategies if not _stops(each)}
        stopping = [each for each in self.strategies if _stops(each)]
        pairs = ((each.name, none.get(self._but_for_stopping(each))) for each in stopping)
        return {name: other for name, other in pairs if other is not None}

    def _but_for_stopping(self, strategy: ReplayStrategy) -> tuple[object, ...]:
        return strategy.sampler, strategy.rungs, strategy.name in self.taught


def _stops(strategy: ReplayStrategy) -> bool:
    return strategy.stopping.name != "none"


def replay_strategy(name: str, plain: Mapping[str, Any], table: RecordedTable) -> ReplayStrategy:
    """A strategy as a search with these settings would have it; its rungs, if the table has them."""
    if plain["strategy"]["name"] != "independent":
        raise InputError(
            f"strategy: {plain['strategy']['name']} trains by itself, for which no recorded curves stand; "
            "allowed: independent (benchmarks/supernet.py judges the other)"
        )
    sampler: SamplerSettings = from_plain(SamplerSettings, plain["sampler"])
    stopping: StoppingSettings = from_plain(StoppingSettings, plain["stopping"])
    rungs = tuple(plain["rungs"])
    try:
        check_rungs(rungs, table)
    except InputError:
        rungs = table.rungs
    return ReplayStrategy(name, sampler, stopping, rungs=rungs)


def replayed_all(
    draws: Iterable[Draw], replaying: Replaying, processes: int, console: Console
) -> dict[str, StrategyFigures]:
    """Of each strategy the figures of each seed, draw by draw."""
    tasks = [(number, draw, replaying) for number, draw in enumerate(draws)]
    done = map(_replayed, tasks) if processes == 1 else in_workers(_replayed, tasks, processes, _begin)
    by_draw = dict(track(done, "replaying", len(tasks), console=console, transient=True))
    found = {strategy.name: StrategyFigures() for strategy in replaying.strategies}
    for number in range(len(tasks)):
        for name, figures in by_draw[number].items():
            found[name].extend(figures)
    return found


def _begin(number: int) -> None:
    """Of a worker process: a task holds all that it takes."""


def _replayed(task: tuple[int, Draw, Replaying]) -> tuple[int, dict[str, StrategyFigures]]:
    number, draw, replaying = task
    table, full = draw.table, draw.table.rungs[-1]
    truth = Truth(table.runs, table.objectives, TRUE_TOP_SHARE)
    within = truth.within(replaying.noise, full)
    steps = math.ceil(max(replaying.budgets) * full)
    found = {strategy.name: StrategyFigures() for strategy in replaying.strategies}
    for seed, strategy in product(draw.seeds, replaying.strategies):
        prior = draw.teachers if strategy.name in replaying.taught else ()
        one = replay(table, strategy, truth, seed=seed, steps=steps, until_top=True, prior=prior)
        found[strategy.name].add(one, table, truth, within, replaying.budgets, number)
    return number, found


def efficiency_text(
    found: Mapping[str, StrategyFigures],
    draws: Sequence[Draw],
    replaying: Replaying,
    rungs: Sequence[int],
    settings: EfficiencySettings,
) -> str:
    full = draws[0].table.rungs[-1]
    lines = [
        f"{_drawn_text(draws, settings)}; rungs {list(rungs)}; steps in full lengths of {full}; in brackets "
        f"95 % intervals over the {'seeds' if settings.halves is None else 'halves'}, paired (quartiles "
        "where it says so).",
        "",
        render_table([], steps_rows(found, rungs[0] / full), "markdown"),
        "What stopping gains: the steps to the top of the same strategy without it, and with; an oracle "
        "stops all that it proposes but the top.",
        "",
        render_table([], gain_rows(found, replaying.without_stopping, rungs[0] / full), "markdown"),
        "The network that the search would name after equal training, in full lengths: its true place, and "
        "how often no network is truly better by more than the noise of two runs.",
        "",
        render_table([], quality_rows(found, settings.budgets), "markdown"),
    ]
    return "\n".join(lines)


def _drawn_text(draws: Sequence[Draw], settings: EfficiencySettings) -> str:
    replayed = [len(draw.table.runs) for draw in draws]
    top = [max(1, math.ceil(TRUE_TOP_SHARE * count)) for count in replayed]
    seeds, of = counted(settings.seeds, "seed"), counted_half(settings.half)
    what = (
        f"{seeds} of {of}" if settings.halves is None else f"{settings.halves} halves of {of}, {seeds} each"
    )
    taught = _from_to([len(draw.teachers) for draw in draws])
    return f"{what}: {_from_to(replayed)} networks replayed, the top {_from_to(top)}; {taught} teachers"


def _from_to(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def write_efficiency(
    folder: Path,
    text: str,
    found: Mapping[str, StrategyFigures],
    draws: Sequence[Draw],
    settings: EfficiencySettings,
) -> None:
    """efficiency.md, as printed, efficiency.json, a figure per seed, and efficiency.png.

    Raises:
        OSError, InputError: if they cannot be written.
    """
    from analysis.efficiency.plots import plot_efficiency  # matplotlib takes a second to import

    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "half": settings.half,
        "halves": settings.halves,
        "seeds": settings.seeds,
        "share": settings.share,
        "networks": sorted({network for draw in draws for network in draw.table.runs}),
        "replayed": [sorted(draw.table.runs) for draw in draws],
    }
    write_whole(folder / "efficiency.md", text)
    write_whole(folder / "efficiency.json", json.dumps({"about": about, "strategies": plain_of(found)}))
    caption = _drawn_text(draws, settings)
    plot_efficiency(folder / "efficiency.png", found, caption)

"""How soon a strategy completes a good network, on recorded runs.

Strategies replay the recorded networks (docs/replay.md) with shared seeds, so that they compare in pairs: a
seed gives two strategies the same samples, and of a network recorded several times, the same run. Networks
are halved by a hash of their ids, once and for all: settings are chosen on the half `tuning`, and reported on
the half `held_out`. With a `share` below 1 every seed replays networks of its own, sampled from the half:
then figures depend less on which few networks are its best.

A strategy that begins with what recorded networks taught (`recorded=true`, as our default does) is taught by
those of the tuning half that the seed does not replay: on the held-out half by the whole tuning half. As in a
search, the reference points and what is one decision away from them teach nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from analysis.efficiency.figures import StrategyFigures, plain_of, quality_rows, steps_rows
from analysis.rendering import render_table
from analysis.replay.table import RecordedTable, check_rungs
from analysis.replay.tries import ReplayStrategy, Truth, feasible, replay
from search.runs.record import History, Trial
from search.runs.teachers import tells_of
from search.samplers.factory import SamplerSettings
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings
from space.architecture import Architecture
from space.choices import Space
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain
from space.shared.seeds import numbered_seed

Half = Literal["tuning", "held_out", "all"]
TRUE_TOP_SHARE = 0.05


@dataclass(frozen=True)
class EfficiencySettings:
    """What conf/efficiency.yaml holds."""

    half: Half = "held_out"
    seeds: int = 200
    share: float = 1.0
    budgets: tuple[float, ...] = (4.0, 8.0, 12.0)
    also: tuple[str, ...] = ()
    out: str | None = None

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise InputError(f"seeds: {self.seeds} is too few for an interval; allowed: 2 or more")
        if not 0 < self.share <= 1:
            raise InputError(f"share: {self.share:g} is not a share; allowed: above 0, up to 1")
        if not self.budgets or min(self.budgets) <= 0:
            raise InputError(f"budgets: {list(self.budgets)}; allowed: full lengths above 0, as in [4,8,12]")


def in_half(table: RecordedTable, half: Half) -> RecordedTable:
    """The networks of a half that a search could choose."""
    chosen = {
        architecture.id for architecture in feasible(table) if half in ("all", half_of(architecture.id))
    }
    if len(chosen) < 2:
        raise InputError(f"half: {counted_half(half)} has {len(chosen)} networks; allowed: 2 or more")
    return replace(table, runs={key: runs for key, runs in table.runs.items() if key in chosen})


def half_of(network: str) -> Half:
    """By the network's id alone, so that a network stays where it is when a table grows."""
    return ("tuning", "held_out")[numbered_seed(0, f"half {network}", 0) % 2]


def counted_half(half: Half) -> str:
    return "the table" if half == "all" else f"the half {half}"


def subset_of(table: RecordedTable, share: float, seed: int) -> RecordedTable:
    """A share of the networks, sampled by the seed."""
    kept = sorted(table.runs, key=lambda key: numbered_seed(seed, f"share {key}", 0))
    kept = kept[: max(2, round(share * len(kept)))]
    return replace(table, runs={key: runs for key, runs in table.runs.items() if key in set(kept)})


def replay_strategy(name: str, plain: Mapping[str, Any], table: RecordedTable) -> ReplayStrategy:
    """A strategy as a search with these settings would have it; its rungs, if the table has them."""
    sampler: SamplerSettings = from_plain(SamplerSettings, plain["sampler"])
    stopping: StoppingSettings = from_plain(StoppingSettings, plain["stopping"])
    rungs = tuple(plain["rungs"])
    try:
        check_rungs(rungs, table)
    except InputError:
        rungs = table.rungs
    return ReplayStrategy(name, sampler, stopping, rungs=rungs)


def teachers(
    histories: Mapping[str, History], references: Collection[Architecture], space: Space
) -> list[Trial]:
    """The complete trials of the tuning half, as prior knowledge: each network once, but for those that tell
    of the reference points."""
    found: dict[str, Trial] = {}
    for trial in (trial for history in histories.values() for trial in history.trials):
        if trial.state == "complete" and trial.params and half_of(trial.architecture.id) == "tuning":
            found.setdefault(trial.architecture.id, trial)
    return [trial for trial in found.values() if not tells_of(trial.architecture, references, space)]


def replayed_all(
    table: RecordedTable,
    strategies: Sequence[ReplayStrategy],
    noise: Noise,
    settings: EfficiencySettings,
    known: Mapping[str, Sequence[Trial]],
    console: Console,
) -> dict[str, StrategyFigures]:
    """Seed by seed, so that a seed's networks are sampled once. `known` are by strategy the trials that
    taught it, but for those of networks that the seed replays."""
    found = {strategy.name: StrategyFigures() for strategy in strategies}
    for seed in track(range(settings.seeds), "replaying", console=console, transient=True):
        part = subset_of(table, settings.share, seed)
        truth = Truth(part.runs, part.objectives, TRUE_TOP_SHARE)
        within = truth.within(noise, table.rungs[-1])
        steps = math.ceil(max(settings.budgets) * table.rungs[-1])
        for strategy in strategies:
            prior = [t for t in known.get(strategy.name, ()) if t.architecture.id not in part.runs]
            one = replay(part, strategy, truth, seed=seed, steps=steps, until_top=True, prior=prior)
            found[strategy.name].add(one, part, truth, within, settings.budgets)
    return found


def text_of(
    found: Mapping[str, StrategyFigures],
    table: RecordedTable,
    rungs: Sequence[int],
    settings: EfficiencySettings,
) -> str:
    sampled = len(subset_of(table, settings.share, 0).runs)
    each = "" if sampled == len(table.runs) else f", of which every seed replays {sampled} of its own"
    full = table.rungs[-1]
    lines = [
        f"{settings.seeds} seeds; {counted_half(settings.half)}: {len(table.runs)} networks{each}; the top: "
        f"{max(1, math.ceil(TRUE_TOP_SHARE * sampled))} of {sampled}; rungs {list(rungs)}; steps in full "
        f"lengths of {full}; in brackets 95 % intervals over the seeds, paired (quartiles where it says so).",
        "",
        render_table([], steps_rows(found, rungs[0] / full), "markdown"),
        "The network that the search would name after equal training, in full lengths: its true place, and "
        "how often no network is truly better by more than the noise of two runs.",
        "",
        render_table([], quality_rows(found, settings.budgets), "markdown"),
    ]
    return "\n".join(lines)


def write_efficiency(
    folder: Path,
    text: str,
    found: Mapping[str, StrategyFigures],
    table: RecordedTable,
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
        "seeds": settings.seeds,
        "share": settings.share,
        "networks": sorted(table.runs),
    }
    write_whole(folder / "efficiency.md", text)
    write_whole(folder / "efficiency.json", json.dumps({"about": about, "strategies": plain_of(found)}))
    caption = f"{settings.seeds} replays each of {len(table.runs)} recorded networks"
    plot_efficiency(folder / "efficiency.png", found, caption)

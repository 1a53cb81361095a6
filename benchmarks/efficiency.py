"""How soon a strategy completes a good network, on recorded runs: `python -m benchmarks.efficiency
recorded.jsonl.gz [half=held_out] [seeds=200] [share=1] [budgets=4,8,12] [out=folder] [also='sampler=gp']`.

Strategies replay the recorded networks (docs/replay.md) with shared seeds, so that they compare in pairs: a
seed gives two strategies the same draws and, of a network recorded several times, the same run. The networks
are halved by a hash of their ids, once and for all: settings are chosen on `half=tuning`, and reported on
`half=held_out`. With a `share` below 1 every seed replays networks of its own, drawn from the half: figures
then depend less on which few networks are its best. `also` adds a strategy, by words that change our default.

A strategy that begins with what recorded networks taught (`recorded=true`, as our default does) is taught by
those of the tuning half that the seed does not replay: on `half=held_out` by the whole tuning half.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from analysis.rendering import render_table
from analysis.replay.table import RecordedTable, check_rungs, table_of
from analysis.replay.tries import ReplayStrategy, Truth, feasible, replay
from benchmarks.efficiency_figures import BASE, DEFAULT, Found, plain_of, quality_rows, steps_rows
from conf.compose import compose
from mdsearch.__main__ import run_and_exit
from search.confirmation.repeats import estimated, refined
from search.runs.bundle import histories_of
from search.runs.record import History, Trial
from search.samplers.factory import SamplerSettings
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, nearest
from space.shared.seeds import numbered_seed

STRATEGIES: dict[str, Sequence[str]] = {
    BASE: ("sampler=random", "stopping=none", "recorded=false"),
    "random, ASHA": ("sampler=random", "stopping=asha", "recorded=false"),
    "random, our rule": ("sampler=random", "recorded=false"),
    "TPE, no stopping": ("sampler=tpe", "stopping=none", "recorded=false"),
    "NSGA-II, no stopping": ("sampler=nsga2", "stopping=none", "recorded=false"),
    "TPE, no stopping, taught": ("sampler=tpe", "stopping=none"),
    "our default, not taught": ("recorded=false",),
    DEFAULT: (),
}
HALVES = "tuning", "held_out", "all"
TOP_SHARE = 0.05


@dataclass(frozen=True)
class Asked:
    """The words of the command line."""

    sources: tuple[str, ...]
    half: str = "held_out"
    seeds: int = 200
    share: float = 1.0
    budgets: tuple[float, ...] = (4, 8, 12)
    out: str | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("no records named; allowed: run folders and bundles of one protocol")
        if self.half not in HALVES:
            raise InputError(f"half: {self.half!r} is none; {nearest(self.half, HALVES)}")
        if self.seeds < 2:
            raise InputError(f"seeds: {self.seeds} is too few for an interval; allowed: 2 or more")
        if not 0 < self.share <= 1:
            raise InputError(f"share: {self.share:g} is not a share; allowed: above 0, up to 1")
        if not self.budgets or min(self.budgets) <= 0:
            raise InputError(f"budgets: {list(self.budgets)}; allowed: full lengths above 0, as in 4,8,12")


def asked_for(words: Sequence[str]) -> Asked:
    """Raises InputError for a word that says nothing here."""
    named: dict[str, Any] = {}
    sources, also = [], []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            sources.append(word)
        elif name == "also":
            also.append(value)
        elif name not in Asked.__dataclass_fields__ or name == "sources":
            raise InputError(f"{name}: not known; {nearest(name, [*Asked.__dataclass_fields__][1:])}")
        else:
            named[name] = _read(name, value)
    return from_plain(Asked, named | {"sources": sources, "also": also})  # type: ignore[no-any-return]


def _read(name: str, value: str) -> Any:
    try:
        if name == "budgets":
            return [float(each) for each in value.split(",")]
        return {"seeds": int, "share": float}.get(name, str)(value)
    except ValueError:
        raise InputError(
            f"{name}: {value!r} is no number; allowed: as in seeds=200, budgets=4,8,12"
        ) from None


# ---------------------------------------------------------------------- what is replayed


def in_half(table: RecordedTable, half: str) -> RecordedTable:
    """The networks of a half that a search could choose."""
    chosen = {
        architecture.id for architecture in feasible(table) if half in ("all", half_of(architecture.id))
    }
    if len(chosen) < 2:
        raise InputError(f"half: {counted_half(half)} has {len(chosen)} networks; allowed: 2 or more")
    return replace(table, runs={key: runs for key, runs in table.runs.items() if key in chosen})


def half_of(network: str) -> str:
    """By the network's id alone, so that a network stays where it is when a table grows."""
    return HALVES[numbered_seed(0, f"half {network}", 0) % 2]


def counted_half(half: str) -> str:
    return "the table" if half == "all" else f"the half {half}"


def drawn_from(table: RecordedTable, share: float, seed: int) -> RecordedTable:
    """A share of the networks, which the seed draws."""
    kept = sorted(table.runs, key=lambda key: numbered_seed(seed, f"share {key}", 0))
    kept = kept[: max(2, round(share * len(kept)))]
    return replace(table, runs={key: runs for key, runs in table.runs.items() if key in set(kept)})


def strategy_of(name: str, words: Sequence[str], table: RecordedTable) -> ReplayStrategy:
    """A strategy as `mdsearch search` with these words would have it; its rungs, if the table has them."""
    plain = compose("search", list(words))
    sampler: SamplerSettings = from_plain(SamplerSettings, plain["sampler"])
    stopping: StoppingSettings = from_plain(StoppingSettings, plain["stopping"])
    rungs = tuple(plain["rungs"])
    try:
        check_rungs(rungs, table)
    except InputError:
        rungs = table.rungs
    return ReplayStrategy(name, sampler, stopping, rungs=rungs)


def is_taught(words: Sequence[str]) -> bool:
    """Whether a search with these words would begin with what recorded networks taught."""
    return bool(compose("search", list(words))["recorded"])


def teachers(histories: Mapping[str, History]) -> list[Trial]:
    """The complete trials of the tuning half, as prior knowledge: each network once."""
    found: dict[str, Trial] = {}
    for trial in (trial for history in histories.values() for trial in history.trials):
        if trial.state == "complete" and trial.params and half_of(trial.architecture.id) == "tuning":
            found.setdefault(trial.architecture.id, trial)
    return list(found.values())


def replayed_all(
    table: RecordedTable,
    strategies: Sequence[ReplayStrategy],
    noise: Noise,
    asked: Asked,
    console: Console,
    known: Mapping[str, Sequence[Trial]],
) -> dict[str, Found]:
    """Seed by seed, so that what is drawn for a seed is drawn once. `known` are by strategy the trials that
    taught it, but for those of networks that the seed replays."""
    found = {strategy.name: Found() for strategy in strategies}
    for seed in track(range(asked.seeds), "replaying", console=console, transient=True):
        part = drawn_from(table, asked.share, seed)
        truth = Truth(part.runs, part.objectives, TOP_SHARE)
        within = truth.within(noise, table.rungs[-1])
        steps = math.ceil(max(asked.budgets) * table.rungs[-1])
        for strategy in strategies:
            prior = [t for t in known.get(strategy.name, ()) if t.architecture.id not in part.runs]
            one = replay(part, strategy, truth, seed=seed, steps=steps, until_top=True, prior=prior)
            found[strategy.name].add(one, part, truth, within, asked.budgets)
    return found


def text_of(found: Mapping[str, Found], table: RecordedTable, rungs: Sequence[int], asked: Asked) -> str:
    drawn = len(drawn_from(table, asked.share, 0).runs)
    each = "" if drawn == len(table.runs) else f", of which every seed replays {drawn} of its own"
    full = table.rungs[-1]
    lines = [
        f"{asked.seeds} seeds; {counted_half(asked.half)}: {len(table.runs)} networks{each}; the top: "
        f"{max(1, math.ceil(TOP_SHARE * drawn))} of {drawn}; rungs {list(rungs)}; steps in full "
        f"lengths of {full}; in brackets 95 % intervals over the seeds, paired (quartiles where it says so).",
        "",
        render_table([], steps_rows(found, rungs[0] / full), "markdown"),
        "The network that the search would name after equal training, in full lengths: its true place, and "
        "how often no network is truly better by more than the noise of two runs.",
        "",
        render_table([], quality_rows(found, asked.budgets), "markdown"),
    ]
    return "\n".join(lines)


def main(words: list[str]) -> int:
    asked, console = asked_for(words), Console()
    histories = histories_of(asked.sources)
    table = table_of(histories)
    # a search of today would go by what is stated today, not by what was when the table was begun
    table = replace(table, header=table.header | {"noise": compose("search", [])["noise"]})
    noise = refined(table.noise, estimated(list(histories.values()), table.noise))
    table = in_half(table, asked.half)
    words_of = STRATEGIES | {more: more.split() for more in asked.also}
    strategies = {name: strategy_of(name, words, table) for name, words in words_of.items()}
    knowledge = teachers(histories)
    known = {name: knowledge for name, words in words_of.items() if is_taught(words)}
    found = replayed_all(table, list(strategies.values()), noise, asked, console, known)
    text = text_of(found, table, strategies[DEFAULT].rungs or table.rungs, asked)
    print(text)
    if asked.out is not None:
        folder = Path(asked.out)
        about = {
            "half": asked.half,
            "seeds": asked.seeds,
            "share": asked.share,
            "networks": sorted(table.runs),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "efficiency.md", text)
            write_whole(
                folder / "efficiency.json", json.dumps({"about": about, "strategies": plain_of(found)})
            )
        except OSError as error:
            raise InputError(f"out: {folder} cannot be written: {error.strerror}") from None
    return 0


if __name__ == "__main__":
    run_and_exit(main, sys.argv[1:])

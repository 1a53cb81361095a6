"""`mdsearch replay`: finished runs as a benchmark of strategies, and a check of their decisions."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.progress import track

from analysis.replay.recheck import agreement_table, rechecks
from analysis.replay.results import summarise, summary_table, write_replays
from analysis.replay.surrogate import Surrogate
from analysis.replay.table import RecordedTable, check_rungs, load_table
from analysis.replay.tries import Replayed, ReplayStrategy, Truth, feasible, replay
from conf.compose import compose
from conf.words import expand
from search.formats import counted, duration
from search.samplers.factory import SamplerSettings
from search.samplers.random import RandomSettings
from search.stopping.factory import StoppingSettings
from search.stopping.none import NoStoppingSettings
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain
from space.shared.workers import in_workers

NO_STRATEGY = ("runs", "seeds", "steps", "top_share", "gaps", "processes", "check", "out")


@dataclass(frozen=True)
class ReplaySettings:
    """What conf/replay.yaml holds, for one strategy."""

    runs: tuple[str, ...]
    sampler: SamplerSettings
    stopping: StoppingSettings
    seeds: int = 20
    workers: int = 1
    steps: int | None = None
    rungs: tuple[int, ...] | None = None
    top_share: float = 0.05
    gaps: Literal["leave_out", "surrogate"] = "leave_out"
    processes: int = 1
    check: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "workers", "processes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: 1 or more")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps: {self.steps} is too few; allowed: 1 or more, or null")
        if not 0 < self.top_share <= 1:
            raise InputError(f"top_share: {self.top_share:g} is not a share; allowed: above 0, up to 1")


def main(words: list[str]) -> int:
    asked = strategies(words)
    settings = next(iter(asked.values()))
    if settings.check:
        return _check(settings.runs)
    return _compare(asked, settings)


def strategies(words: list[str]) -> dict[str, ReplaySettings]:
    """The strategies that the words ask for, each by the words in which it differs from the others; one alone
    stands beside uniform sampling without stopping.

    Raises:
        InputError: a sweep over something that is no part of a strategy.
    """
    plain = [word for word in words if word not in ("-m", "--multirun")]
    for word in plain:
        if word.partition("=")[0] in NO_STRATEGY and len(expand([word])) > 1:
            hint = "; a list is written [a,b]" if word.startswith("runs=") else ""
            raise InputError(f"{word}: no part of a strategy, so it has one value{hint}")
    found = expand(plain)
    if len(found) == 1:
        alone = read(found[0])
        baseline = replace(alone, sampler=RandomSettings(), stopping=NoStoppingSettings())
        beside = {} if alone.check or alone == baseline else {"uniform, no stopping": baseline}
        return {"as asked": alone} | beside
    swept = {word.partition("=")[0] for word in plain if len(expand([word])) > 1}
    return {
        ", ".join(_short(word) for word in words if word.partition("=")[0] in swept): read(words)
        for words in found
    }


def _short(word: str) -> str:
    """sampler=tpe is tpe; workers=8 stays."""
    return word.partition("=")[2] if word.startswith(("sampler=", "stopping=")) else word


def read(words: list[str]) -> ReplaySettings:
    settings: ReplaySettings = from_plain(ReplaySettings, compose("replay", words))
    return settings


def _check(sources: Sequence[str]) -> int:
    found = [one for source in sources for one in rechecks(source)]
    if not found:
        raise InputError("runs: empty; allowed: one run folder or bundle, or more")
    print(agreement_table(found))
    wrong = [one for one in found if not one.agrees]
    for one in wrong:
        print(one.sentence())
    return 1 if wrong else 0


def _compare(asked: dict[str, ReplaySettings], settings: ReplaySettings) -> int:
    console = command_console()
    began = time.monotonic()
    table = load_table(settings.runs)
    for one in asked.values():
        check_rungs(one.rungs or table.rungs, table)
    out = None if settings.out is None else _out_folder(Path(settings.out))
    print(_described(table))
    if settings.gaps == "surrogate":
        surrogate = Surrogate(table)
        print(f"{len(table.stopped)} stopped runs filled in. {surrogate.accuracy.sentence()}")
        table = surrogate.filled_table()
    candidates = {architecture.id for architecture in feasible(table)}
    table = replace(table, runs={key: runs for key, runs in table.runs.items() if key in candidates})
    truth = Truth(table.runs, table.objectives, settings.top_share)
    steps = settings.steps or len(table.runs) * table.rungs[-1]
    compared = [
        ReplayStrategy(name, one.sampler, one.stopping, one.workers, one.rungs) for name, one in asked.items()
    ]
    tasks = [
        (table, strategy, truth, seed, steps)
        for strategy, seed in itertools.product(compared, range(settings.seeds))
    ]
    done = list(
        track(_replays(tasks, settings.processes), "replaying", len(tasks), console=console, transient=True)
    )
    by_name = {
        strategy.name: done[place * settings.seeds : (place + 1) * settings.seeds]
        for place, strategy in enumerate(compared)
    }
    summaries = [summarise(name, replays) for name, replays in by_name.items()]
    console.print(summary_table(summaries, len(truth.top), len(table.runs)))
    print(_speed(done, time.monotonic() - began))
    if out is not None:
        about = {"runs": list(settings.runs), "protocol": table.header.get("protocol", {}), "steps": steps}
        caption = (
            f"{settings.seeds} replays each of {len(table.runs)} recorded networks; median and quartiles"
        )
        try:
            written = write_replays(out, by_name, about, steps, caption)
        except OSError as error:
            raise InputError(f"out: {out} cannot be written: {error.strerror}") from None
        for path in written:
            print(f"written: {path}")
    return 0


def _out_folder(folder: Path) -> Path:
    """Before hours are spent on what goes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {folder} cannot be made: {error.strerror}") from None
    return folder


ReplayTask = tuple[RecordedTable, ReplayStrategy, Truth, int, int]


def _replays(tasks: list[ReplayTask], processes: int) -> Iterable[Replayed]:
    if processes == 1:
        yield from map(_one, tasks)
        return
    yield from in_workers(
        _one,
        tasks,
        processes,
        _nothing_to_prepare,
        method="forkserver",
        preload=[__name__],  # imported once for all
        in_order=True,
        setting="processes",
        advice="none of it is kept; run it again",
    )


def _nothing_to_prepare(worker: int) -> None:
    pass


def _one(task: ReplayTask) -> Replayed:
    table, strategy, truth, seed, steps = task
    return replay(table, strategy, truth, seed=seed, steps=steps)


def _described(table: RecordedTable) -> str:
    runs = sum(len(found) for found in table.runs.values())
    text = (
        f"recorded: {counted(len(table.runs), 'network')}, {counted(runs, 'run')} of full length, rungs "
        f"{list(table.rungs)}"
    )
    if table.stopped:
        text += f"; {len(table.stopped)} stopped runs (gaps={{leave_out,surrogate}})"
    if table.left_out:
        more = ", ..." if len(table.left_out) > 1 else ""
        text += f"; left out: {len(table.left_out)} ({table.left_out[0]}{more})"
    return text


def _speed(replays: list[Replayed], took: float) -> str:
    worker = sum(one.usage.training for one in replays)
    return (
        f"{len(replays)} searches, {duration(worker)} of recorded worker time, in {duration(took)}: "
        f"{worker / took:,.0f} times as fast"
    )

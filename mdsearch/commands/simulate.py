"""`mdsearch simulate`: hours, accelerator-hours and limits of a search before anybody pays for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from analysis.replay.surrogate import Surrogate
from analysis.replay.table import load_table
from analysis.simulation.planning import Plan, Searching, World, plan
from analysis.simulation.plots import plot_plans
from analysis.simulation.stated import StatedCurves
from conf.compose import compose
from search.backends.virtual import Conditions
from search.formats import counted, duration, share
from search.objectives import fid_and_clip
from search.samplers.factory import SamplerSettings
from search.stopping.factory import StoppingSettings
from search.strategy import Job, Report
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.explore.files import check_path
from space.explore.style import PICTURES
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class SimulateSettings:
    """What conf/simulate.yaml holds."""

    space: Space
    budget: Budget
    proxy: Proxy
    sampler: SamplerSettings
    stopping: StoppingSettings
    curves: StatedCurves
    workers: tuple[int, ...]
    trials: int
    seeds: int
    hours: float
    devices_per_worker: int
    evaluation_minutes: float
    runs: tuple[str, ...]
    failures_per_day: float
    repair_minutes: float
    max_worker_deaths: int
    preemptions_per_day: float
    away_minutes: float
    stragglers: float
    slowdown: float
    propose_seconds: float
    judge_seconds: float
    start_seconds: float
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "seeds", "devices_per_worker"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: 1 or more")
        if not self.workers:
            raise InputError("workers: empty; allowed: one number or more")
        if self.hours <= 0 or self.evaluation_minutes < 0:
            raise InputError("hours, evaluation_minutes: allowed: above 0, and 0 or more")
        for workers in self.workers:
            self.conditions(workers, 0)
        if self.out is not None:
            check_path("out", Path(self.out), PICTURES)

    def conditions(self, workers: int, seed: int) -> Conditions:
        names = set(Conditions.__dataclass_fields__) - {"workers", "seed"}
        return Conditions(workers=workers, seed=seed, **{name: getattr(self, name) for name in names})


def main(words: list[str]) -> int:
    settings: SimulateSettings = from_plain(SimulateSettings, compose("simulate", words))
    console, began = Console(), time.monotonic()
    world = _recorded_world(settings, console) if settings.runs else _stated_world(settings)
    searching = Searching(
        settings.space, settings.budget, settings.proxy, settings.sampler, settings.stopping, settings.trials
    )
    plans = [
        plan(world, searching, [settings.conditions(workers, seed) for seed in range(settings.seeds)])
        for workers in track(settings.workers, "simulating", console=console, transient=True)
    ]
    console.print(_table(plans, settings))
    hours = sum(one.wall_hours + one.wall_hours_without_stopping for one in plans) * settings.seeds
    took = time.monotonic() - began
    console.print(f"{duration(3600 * hours)} of searching, simulated in {duration(took)}")
    if settings.out is not None:
        console.print(f"written: {plot_plans(Path(settings.out), plans)}")
    return 0


def _stated_world(settings: SimulateSettings) -> World:
    curves, objectives = settings.curves, fid_and_clip("fid", "clip")
    seconds, evaluation = 3600 * settings.hours, 60 * settings.evaluation_minutes
    return World(
        objectives,
        curves.steps,
        curves.noise,
        curves.start_scores(objectives),
        lambda job: curves.run(job, objectives, seconds, evaluation),
        lambda architecture: curves.quality(architecture.id),
    )


def _recorded_world(settings: SimulateSettings, console: Console) -> World:
    """Curves as a surrogate of the recorded ones predicts them; a candidate of mean length takes `hours`."""
    table = load_table(settings.runs)
    surrogate = Surrogate(table)
    console.print(surrogate.accuracy.sentence())
    recorded = [run for runs in table.runs.values() for run in runs]
    mean = fmean(sum(rung.seconds.get("training", 0.0) for rung in run.rungs) for run in recorded)

    def run(job: Job) -> Iterator[Report]:
        for report in surrogate.run(job, job.seed):
            seconds = {
                "training": report.seconds["training"] * 3600 * settings.hours / mean,
                "evaluation": 60 * settings.evaluation_minutes,
            }
            yield replace(report, seconds=seconds)

    def quality(architecture: Architecture) -> float:
        return float(surrogate.predict(architecture)[-len(table.objectives)])  # log FID at the end

    return World(table.objectives, table.rungs, table.noise, table.start_scores, run, quality)


def _table(plans: Sequence[Plan], settings: SimulateSettings) -> Table:
    title = (
        f"{settings.trials:,} candidates of {settings.hours:g} h on {settings.devices_per_worker} "
        f"accelerators; {settings.sampler.name}, {settings.stopping.name}; "
        f"{counted(settings.seeds, 'simulation')}"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("workers", overflow="fold")
    for one in plans:
        table.add_column(f"{one.workers:,}", justify="right")
    rows = [
        ("wall time", lambda p: _hours(p.wall_hours)),
        ("  without stopping", lambda p: _hours(p.wall_hours_without_stopping)),
        ("accelerator-hours used", lambda p: f"{p.worker_hours * settings.devices_per_worker:,.0f}"),
        (
            "  reserved until the end",
            lambda p: f"{p.wall_hours * p.workers * settings.devices_per_worker:,.0f}",
        ),
        ("workers' time saved by stopping", lambda p: share(p.saved)),
        ("of the best 5 %, stopped", lambda p: share(p.top_stopped)),
        ("complete, halted, failed", lambda p: f"{p.complete:.0f}, {p.halted:.0f}, {p.failed:.0f}"),
        ("workers' time: training", lambda p: share(p.training)),
        ("  lost with workers", lambda p: share(p.wasted)),
        ("  starting, waiting for the driver", lambda p: share(p.waiting)),
        ("  idle or away", lambda p: share(p.idle)),
        ("driver busy", lambda p: share(p.driver_busy)),
        ("  it would be the limit at workers", lambda p: f"{p.driver_limit:,.0f}"),
    ]
    for head, write in rows:
        table.add_row(head, *(write(one) for one in plans))
    return table


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"

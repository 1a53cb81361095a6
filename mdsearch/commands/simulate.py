"""`mdsearch simulate`: hours, accelerator-hours and limits of a search before anybody pays for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from rich.progress import track

from analysis.replay.surrogate import Surrogate
from analysis.replay.table import load_table
from analysis.simulation.planning import Searching, World, plan
from analysis.simulation.plots import plot_plans
from analysis.simulation.stated import StatedCurves
from analysis.simulation.table import plans_table
from conf.compose import compose
from search.backends.virtual import Conditions
from search.formats import counted, duration
from search.objectives import fid_and_clip
from search.samplers.factory import SamplerSettings
from search.stopping.factory import StoppingSettings
from search.strategy import Job, Report
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.explore.files import check_path
from space.explore.style import PLOT_ENDINGS
from space.proxy import Proxy
from space.shared.console import command_console
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
            check_path("out", Path(self.out), PLOT_ENDINGS)

    def conditions(self, workers: int, seed: int) -> Conditions:
        names = set(Conditions.__dataclass_fields__) - {"workers", "seed"}
        return Conditions(workers=workers, seed=seed, **{name: getattr(self, name) for name in names})


def main(words: list[str]) -> int:
    settings: SimulateSettings = from_plain(SimulateSettings, compose("simulate", words))
    console, began = command_console(), time.monotonic()
    world = _recorded_world(settings) if settings.runs else _stated_world(settings)
    searching = Searching(
        settings.space, settings.budget, settings.proxy, settings.sampler, settings.stopping, settings.trials
    )
    plans = [
        plan(world, searching, [settings.conditions(workers, seed) for seed in range(settings.seeds)])
        for workers in track(settings.workers, "simulating", console=console, transient=True)
    ]
    title = (
        f"{settings.trials:,} candidates of {settings.hours:g} h on {settings.devices_per_worker} "
        f"accelerators; {settings.sampler.name}, {settings.stopping.name}; "
        f"{counted(settings.seeds, 'simulation')}"
    )
    console.print(plans_table(plans, title, settings.devices_per_worker))
    hours = sum(one.wall_hours + one.wall_hours_without_stopping for one in plans) * settings.seeds
    took = time.monotonic() - began
    print(f"{duration(3600 * hours)} of searching, simulated in {duration(took)}")
    if settings.out is not None:
        print(f"written: {plot_plans(Path(settings.out), plans)}")
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


def _recorded_world(settings: SimulateSettings) -> World:
    """Curves as a surrogate of the recorded ones predicts them; a candidate of mean length takes `hours`."""
    table = load_table(settings.runs)
    surrogate = Surrogate(table)
    print(surrogate.accuracy.sentence())
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

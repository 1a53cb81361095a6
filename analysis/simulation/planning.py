"""One plan: a search on so many workers, simulated with and without stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

from search.backends.virtual import Conditions, Usage, VirtualClock, run_virtual
from search.objectives import Objectives
from search.runs.record import MemoryRecord
from search.samplers.factory import SamplerSettings, make_sampler
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings, make_rule
from search.stopping.none import NoStoppingSettings
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategy import Job, Report
from space.architecture import Architecture
from space.budget import Budget
from space.candidates import as_unet
from space.choices import Space
from space.proxy import Proxy
from space.shared.plain import InputError

TOP_SHARE = 0.05


@dataclass(frozen=True)
class World:
    """Where candidates' curves come from: `run` makes a job's reports, `quality` says how good a network
    truly is (lower is better), which no strategy sees."""

    objectives: Objectives
    rungs: tuple[int, ...]
    noise: Noise
    start_scores: dict[str, float]
    run: Callable[[Job], Iterator[Report]]
    quality: Callable[[Architecture], float]


@dataclass(frozen=True)
class Searching:
    """What is searched, and how."""

    space: Space
    budget: Budget
    proxy: Proxy
    sampler: SamplerSettings
    stopping: StoppingSettings
    trials: int


@dataclass(frozen=True)
class Plan:
    """What a plan came to, as means over seeds. Shares are of the workers' time until the end.

    `saved` is the share of training that stopping saved; `top_stopped` the share of the truly best twentieth
    of the candidates that it stopped; `driver_busy` the share of the time in which the driver was at work.
    """

    workers: int
    wall_hours: float
    wall_hours_without_stopping: float
    worker_hours: float
    saved: float
    complete: float
    stopped: float
    failed: float
    top_stopped: float
    training: float
    wasted: float
    waiting: float
    idle: float
    driver_busy: float

    @property
    def driver_limit(self) -> float:
        """Busy workers at which the driver would have no time left, if each took as much of it as these."""
        busy = self.workers * (self.training + self.wasted + self.waiting)
        return busy / self.driver_busy if self.driver_busy else float("inf")


def plan(world: World, searching: Searching, conditions: Sequence[Conditions]) -> Plan:
    """One plan, over simulations that differ in their seeds.

    Raises:
        InputError: nothing fits the budget, or workers are lost too often for any of them to get anywhere.
    """
    return _mean([_simulated(world, searching, one) for one in conditions])


def _simulated(world: World, searching: Searching, conditions: Conditions) -> Plan:
    search, usage = _search(world, searching, searching.stopping, conditions)
    _, without = _search(world, searching, NoStoppingSettings(), conditions)
    states = [trial.state for trial in search.history.trials]
    best = sorted(search.history.trials, key=lambda trial: world.quality(as_unet(trial.architecture)))
    top = best[: max(1, round(TOP_SHARE * len(best)))]
    reserved = conditions.workers * usage.wall
    return Plan(
        workers=conditions.workers,
        wall_hours=usage.wall / 3600,
        wall_hours_without_stopping=without.wall / 3600,
        worker_hours=(usage.training + usage.wasted) / 3600,
        saved=1 - usage.training / without.training if without.training else 0.0,
        complete=states.count("complete"),
        stopped=states.count("halted"),
        failed=states.count("failed"),
        top_stopped=fmean(trial.state == "halted" for trial in top),
        training=usage.training / reserved,
        wasted=usage.wasted / reserved,
        waiting=usage.waiting / reserved,
        idle=usage.idle(conditions.workers) / reserved,
        driver_busy=min(1.0, usage.driver / usage.wall),
    )


def _search(
    world: World, searching: Searching, stopping: StoppingSettings, conditions: Conditions
) -> tuple[ArchitectureSearch, Usage]:
    clock = VirtualClock()
    record = MemoryRecord(clock)
    record.append("start", scores=world.start_scores, protocol={})
    task = SearchTask(
        space=searching.space,
        budget=searching.budget,
        proxy=searching.proxy,
        sampler=make_sampler(searching.sampler, conditions.seed),
        rule=make_rule(stopping, world.noise),
        objectives=world.objectives,
        rungs=world.rungs,
        trials=searching.trials,
        seed=conditions.seed,
    )
    search = ArchitectureSearch(record, task)
    usage = run_virtual(search, world.run, conditions, clock)
    if not search.history.trials:
        raise InputError(
            "budget: the sampler found nothing in this space that fits, so there is nothing to plan"
        )
    return search, usage


def _mean(plans: Sequence[Plan]) -> Plan:
    averaged = [field.name for field in fields(Plan) if field.name != "workers"]
    figures = {name: fmean(getattr(plan, name) for plan in plans) for name in averaged}
    return Plan(plans[0].workers, **figures)

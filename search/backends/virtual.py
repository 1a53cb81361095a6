"""A strategy driven on a virtual clock: nothing is trained, a search of weeks takes seconds.

What training would report, and how long it would take, comes from `run(job)`, which has the shape of
`TrialWorker.run`: recorded curves, or stated ones. Workers may be many, slow, lost or preempted, and the
driver, which serves one worker at a time, may be the limit.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from search.runs.record import State
from search.strategy import Job, Report, Strategy
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed
from training.failures import why_failed

MOST_LOSSES_ON_THE_WAY = 1000  # to one report: with more, a simulation may never end


@dataclass(frozen=True)
class Conditions:
    """A simulated cluster.

    A worker is lost while it trains `failures_per_day` times, on average, and comes back after
    `repair_minutes`; its job goes on from its last rung on the next free worker, and fails after more than
    `max_worker_deaths` such deaths on the way to one rung. Preemption is the same but for its own figures,
    and counts towards no limit. A share of `stragglers` among the workers is `slowdown` times slower. The
    driver takes `propose_seconds` for a proposal and `judge_seconds` for a report, one after the other;
    `start_seconds` is what a worker needs before it trains a job that it has just received.
    """

    workers: int = 1
    failures_per_day: float = 0.0
    repair_minutes: float = 10.0
    max_worker_deaths: int = 2
    preemptions_per_day: float = 0.0
    away_minutes: float = 30.0
    stragglers: float = 0.0
    slowdown: float = 2.0
    propose_seconds: float = 0.0
    judge_seconds: float = 0.0
    start_seconds: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"workers: {self.workers} is too few; allowed: 1 or more")
        if not 0 <= self.stragglers <= 1:
            raise InputError(f"stragglers: {self.stragglers:g} is not a share; allowed: 0 to 1")
        if self.slowdown < 1:
            raise InputError(f"slowdown: {self.slowdown:g} makes stragglers faster; allowed: 1 or more")
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")


class VirtualClock:
    """Seconds since the search began; a `MemoryRecord` reads it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Usage:
    """Where the time went, in seconds: of all workers together, but for `wall` and `driver`.

    `wasted` is training that a lost worker took with it; `waiting` is spent on the driver and on starting.
    """

    wall: float = 0.0
    driver: float = 0.0
    training: float = 0.0
    wasted: float = 0.0
    waiting: float = 0.0
    losses: int = 0

    def idle(self, workers: int) -> float:
        """Workers that had nothing to do, or were being repaired."""
        return max(0.0, workers * self.wall - self.training - self.wasted - self.waiting)


@dataclass
class _Running:
    """A job on a worker: the report that it is working towards, which comes again if the worker is lost."""

    job: Job
    reports: Iterator[Report]
    next: Report | Exception | None = None
    deaths: int = 0  # on the way to it, as losses
    losses_on_the_way: int = 0


EventKind = Literal["free", "report", "lost"]


@dataclass(order=True)
class _Event:
    time: float
    order: int
    kind: EventKind = field(compare=False)
    worker: int = field(compare=False)


def run_virtual(
    strategy: Strategy,
    run: Callable[[Job], Iterator[Report]],
    conditions: Conditions | None = None,
    clock: VirtualClock | None = None,
) -> Usage:
    """Drive the strategy until it has finished, and say where the time went.

    Args:
        run: yields a job's reports; the sum of a report's `seconds` is how long it takes. An exception
            fails the job.

    Raises:
        InputError: workers are lost so often that a job gets nowhere.
    """
    return _Cluster(strategy, run, conditions or Conditions(), clock or VirtualClock()).drive()


class _Cluster:
    def __init__(
        self,
        strategy: Strategy,
        run: Callable[[Job], Iterator[Report]],
        conditions: Conditions,
        clock: VirtualClock,
    ) -> None:
        self.strategy, self.run, self.conditions, self.clock = strategy, run, conditions, clock
        self.usage = Usage()
        self.events: list[_Event] = []
        self.events_made = 0
        self.running: dict[int, _Running] = {}
        self.orphans: deque[_Running] = deque()  # their workers were lost
        self.parked: list[int] = []  # workers for whom there was nothing to do
        self.driver_free = 0.0
        self.chance = random.Random(numbered_seed(conditions.seed, "virtual cluster", conditions.workers))
        slow = round(conditions.stragglers * conditions.workers)
        self.pace = [conditions.slowdown] * slow + [1.0] * (conditions.workers - slow)
        self.chance.shuffle(self.pace)

    def drive(self) -> Usage:
        for worker in range(self.conditions.workers):
            self._at(0.0, "free", worker)
        while self.events:
            event = heapq.heappop(self.events)
            if event.kind == "free":
                self._give_work(event)
            elif event.kind == "report":
                self._hear(event)
            else:
                self._lose(event)
        return self.usage

    # ------------------------------------------------------------------ what happens

    def _give_work(self, event: _Event) -> None:
        self._driver(event.time, 0.0)
        if self.orphans:
            self._begin(event.worker, self.orphans.popleft())
            return
        job = self.strategy.propose()
        if job is None:
            self.parked.append(event.worker)
            return
        self._driver(self.clock.now, self.conditions.propose_seconds)
        self._begin(event.worker, _Running(job, self.run(job)))

    def _begin(self, worker: int, running: _Running) -> None:
        self.running[worker] = running
        self.usage.waiting += self.conditions.start_seconds
        self._work(worker, self.clock.now + self.conditions.start_seconds)

    def _work(self, worker: int, begin: float) -> None:
        """On to the next report; unless the worker is lost before it is there."""
        running = self.running[worker]
        if running.next is None:
            try:
                running.next = next(running.reports)
            except Exception as error:  # as the real backends: recorded, and the search goes on
                running.next = error
        seconds = 0.0
        if isinstance(running.next, Report):
            seconds = sum(running.next.seconds.values()) * self.pace[worker]
        lost_after = self._seconds_to_loss()
        if lost_after < seconds:
            self.usage.wasted += lost_after
            self._at(begin + lost_after, "lost", worker)
        else:
            self.usage.training += seconds
            self._at(begin + seconds, "report", worker)

    def _hear(self, event: _Event) -> None:
        running = self.running[event.worker]
        key, report, running.next = running.job.key, running.next, None
        running.deaths = running.losses_on_the_way = 0
        self._driver(event.time, self.conditions.judge_seconds)
        if isinstance(report, Exception):
            self._end(event.worker, "failed", why_failed(report))
            return
        assert report is not None
        decision = self.strategy.judge(key, report)
        if decision.word == "continue":
            self._work(event.worker, self.clock.now)
            return
        self._end(event.worker, "halted" if decision.word == "halt" else "complete", decision.reason)

    def _end(self, worker: int, state: State, reason: str) -> None:
        self._take_result(self.running.pop(worker).job.key, state, reason)
        self._at(self.clock.now, "free", worker)

    def _lose(self, event: _Event) -> None:
        """The job waits for the next free worker; the worker is away for a while."""
        self.clock.now = max(self.clock.now, event.time)
        self.usage.losses += 1
        running = self.running.pop(event.worker)
        running.losses_on_the_way += 1
        if running.losses_on_the_way > MOST_LOSSES_ON_THE_WAY:
            raise InputError(
                f"failures_per_day, preemptions_per_day: too many: {running.job.name} lost its worker "
                f"{MOST_LOSSES_ON_THE_WAY:,} times on the way to one rung; allowed: fewer, or shorter rungs"
            )
        rates = self.conditions.failures_per_day, self.conditions.preemptions_per_day
        failed = self.chance.random() * sum(rates) < rates[0]
        running.deaths += failed
        away = self.conditions.repair_minutes if failed else self.conditions.away_minutes
        self._at(event.time + 60 * away, "free", event.worker)
        if running.deaths > self.conditions.max_worker_deaths:
            self._take_result(running.job.key, "failed", f"its worker died {running.deaths} times")
        else:
            self.orphans.append(running)
            self._wake(1)

    # ------------------------------------------------------------------ bookkeeping

    def _take_result(self, key: str, state: State, reason: str) -> None:
        self.strategy.take_result(key, state, reason)
        self.usage.wall = self.clock.now
        self._wake(len(self.parked))

    def _driver(self, time: float, seconds: float) -> None:
        """The driver comes to this event, once it is free, and takes so long."""
        begin = max(time, self.driver_free)
        self.clock.now = self.driver_free = begin + seconds
        self.usage.driver += seconds
        self.usage.waiting += self.clock.now - time

    def _seconds_to_loss(self) -> float:
        a_day = self.conditions.failures_per_day + self.conditions.preemptions_per_day
        return self.chance.expovariate(a_day / 86400) if a_day else float("inf")

    def _wake(self, count: int) -> None:
        for worker in self.parked[:count]:
            self._at(self.clock.now, "free", worker)
        del self.parked[:count]

    def _at(self, time: float, kind: EventKind, worker: int) -> None:
        self.events_made += 1
        heapq.heappush(self.events, _Event(time, self.events_made, kind, worker))

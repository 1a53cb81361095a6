"""A strategy against recorded curves: the same search, on a virtual clock, in milliseconds.

How good an architecture really is, is what its recorded runs say on average; the strategy sees one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.replay.coordinates import Coordinates, coordinate_distances
from analysis.replay.table import RecordedRun, RecordedTable
from search.backends.virtual import Conditions, Usage, VirtualClock, run_virtual
from search.objectives import Objectives
from search.runs.prior import write_prior
from search.runs.record import History, MemoryRecord, State, Trial
from search.runs.scores import all_of, best_first
from search.samplers.base import Observation, Proposal, Sampler
from search.samplers.factory import SamplerSettings, make_sampler
from search.statistics.noise import Noise, beats
from search.statistics.pareto import Point, best_order, hypervolume, mean_point
from search.stopping.factory import StoppingSettings, make_rule
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategy import Decision, Job, Report
from space.architecture import Architecture
from space.choices import Space
from space.search_space import AnySpace
from space.shared.plain import InputError


@dataclass(frozen=True)
class ReplayStrategy:
    """What is compared: a sampler with a stopping rule, on so many workers; `rungs` null: as recorded."""

    name: str
    sampler: SamplerSettings
    stopping: StoppingSettings
    workers: int = 1
    rungs: tuple[int, ...] | None = None


class TableSampler:
    """Proposes recorded architectures only: those not yet tried, as the sampler within ranks them.

    A sampler that has `rank` is asked for its order; of any other the first proposal counts, and the
    recorded architectures come by their nearness to it. (A uniform sampler must have `rank`, since what is
    nearest to a random point is not a uniform choice.)
    """

    exhaustive = True  # what is not recorded cannot be tried, so nothing is shrunk into the budget

    def __init__(
        self, sampler: Sampler, candidates: Sequence[tuple[Architecture, dict[str, Any]]], space: Space
    ) -> None:
        self.sampler, self.coordinates, self.candidates = sampler, Coordinates(space), candidates
        self.points = np.stack([self.coordinates(params) for _, params in self.candidates])

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        tried = {_key(observation.params) for observation in past}
        left = [index for index, (_, params) in enumerate(self.candidates) if _key(params) not in tried]
        if not left:
            return
        order, attributes = self._order(space, left, past, number)
        for index in order:
            architecture, params = self.candidates[index]
            yield Proposal(params, architecture, attributes)

    def _order(
        self, space: AnySpace, left: list[int], past: Sequence[Observation], number: int
    ) -> tuple[list[int], dict[str, Any]]:
        rank = getattr(self.sampler, "rank", None)
        if rank is not None:
            ranked = rank(space, [self.candidates[index][0] for index in left], past, number)
            return [left[place] for place in ranked], {}
        wanted = next(iter(self.sampler.proposals(space, past, number)), None)
        if wanted is None:  # a sampler that has gone through all it knows
            return [], {}
        params = space.encode(wanted.architecture)  # inactive parameters at their first value
        away = coordinate_distances(self.points[left], self.coordinates(params))
        return [left[place] for place in np.argsort(away, kind="stable")], wanted.attributes


def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(params[name] for name in sorted(params))


class Truth:
    """How the recorded architectures rank by the means over their runs: FID (geometric) and CLIP at the end.

    Attributes:
        place: architecture id -> 0 for the best, by front and hypervolume, as a search names its winner.
        top: the ids of the best `top_share`, at least one.
    """

    def __init__(self, runs: Mapping[str, Sequence[RecordedRun]], objectives: Objectives, top_share: float):
        self.points = {key: _mean_point(found, objectives) for key, found in runs.items()}
        keys = list(self.points)
        order = best_order([self.points[key] for key in keys])
        self.place = {keys[index]: place for place, index in enumerate(order)}
        self.top = frozenset(keys[index] for index in order[: max(1, math.ceil(top_share * len(keys)))])
        columns = zip(*(point.values for point in self.points.values()), strict=True)
        worst = (each.worst(values) for each, values in zip(objectives, columns, strict=True))
        self.worst = Point(tuple(worst), objectives)
        self.everything = hypervolume(list(self.points.values()), self.worst)

    def within(self, noise: Noise, step: int) -> frozenset[str]:
        """The ids of those that no other beats by more than the noise of two runs of so many steps."""
        others = list(self.points.values())
        return frozenset(
            key
            for key, point in self.points.items()
            if not any(beats(other, point, noise, step) for other in others)
        )

    def covered(self, keys: Sequence[str]) -> float:
        """The share of the table's hypervolume that these architectures have."""
        if not self.everything:
            return 0.0
        return hypervolume([self.points[key] for key in keys], self.worst) / self.everything


def _mean_point(runs: Sequence[RecordedRun], objectives: Objectives) -> Point:
    return mean_point([all_of(run.rungs[-1].scores, objectives) for run in runs])


@dataclass
class Replayed:
    """What one replay came to.

    Attributes:
        steps, seconds: training steps spent and virtual time at each completed trial.
        named: the id of the network that the search would then have named.
        place: its true place, in shares: 1/n is the best of n.
        covered: the share of the table's hypervolume found by then.
        steps_to_top, seconds_to_top: when a network of the truly best few was complete; infinite if never.
        top_stopped: how many of these few were tried and stopped.
    """

    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    place: list[float] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    steps_to_top: float = math.inf
    seconds_to_top: float = math.inf
    top_tried: int = 0
    top_stopped: int = 0
    trials: int = 0
    stopped: int = 0
    steps_spent: int = 0
    usage: Usage = field(default_factory=Usage)


class _WithinSteps:
    """A strategy that proposes nothing more once so many training steps have been reported; if it goes on
    `until_top`, not before one of the truly best is complete."""

    def __init__(self, strategy: ArchitectureSearch, watch: _Watch, steps: int, until_top: bool) -> None:
        self.strategy, self.watch, self.steps, self.until_top = strategy, watch, steps, until_top

    def propose(self) -> Job | None:
        return None if self._enough else self.strategy.propose()

    def judge(self, key: str, report: Report) -> Decision:
        return self.strategy.judge(key, report)

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.strategy.take_result(key, state, reason)

    @property
    def finished(self) -> bool:
        return self.strategy.finished or (self._enough and not self.watch.running)

    @property
    def _enough(self) -> bool:
        outcome = self.watch.outcome
        missing = self.until_top and math.isinf(outcome.steps_to_top)
        return outcome.steps_spent >= self.steps and not missing


class _Watch:
    """Listens to a replay's record and keeps the score."""

    def __init__(self, truth: Truth, objectives: Objectives, clock: VirtualClock) -> None:
        self.truth, self.objectives, self.clock = truth, objectives, clock
        self.outcome, self.running = Replayed(), set[str]()
        self.reached: dict[str, int] = {}

    def __call__(self, event: dict[str, Any], history: History) -> None:
        key = event.get("key", "")
        if event["event"] == "proposed":
            self.running.add(key)
            self.outcome.trials += 1
            self.outcome.top_tried += event["architecture_id"] in self.truth.top
        elif event["event"] == "rung":
            self.outcome.steps_spent += event["step"] - self.reached.get(key, 0)
            self.reached[key] = event["step"]
        elif event["event"] == "ended":
            self.running.discard(key)
            self._ended(history, key)

    def _ended(self, history: History, key: str) -> None:
        trial, outcome = history.by_key[key], self.outcome
        is_top = trial.architecture.id in self.truth.top
        if trial.state == "halted":
            outcome.stopped += 1
            outcome.top_stopped += is_top
        if trial.state != "complete":
            return
        best = best_first(history.trials, self.objectives)
        outcome.steps.append(outcome.steps_spent)
        outcome.seconds.append(self.clock.now)
        outcome.named.append(best[0].architecture.id)
        outcome.place.append((self.truth.place[outcome.named[-1]] + 1) / len(self.truth.place))
        outcome.covered.append(self.truth.covered([done.architecture.id for done in best]))
        if is_top and math.isinf(outcome.steps_to_top):
            outcome.steps_to_top, outcome.seconds_to_top = outcome.steps_spent, self.clock.now


def replay(
    table: RecordedTable,
    strategy: ReplayStrategy,
    truth: Truth,
    *,
    seed: int,
    steps: int | None = None,
    until_top: bool = False,
    conditions: Conditions | None = None,
    prior: Sequence[Trial] = (),
) -> Replayed:
    """One search over the table.

    Args:
        seed: of the sampler, and of which recorded run an architecture with several shows.
        steps: the training budget; None: until everything was tried.
        until_top: spend more than that where no network of the truly best is complete yet.
        conditions: of the cluster; None: `strategy.workers` that never fail.
        prior: trials of networks that are not in the table, known before it begins.
    """
    clock = VirtualClock()
    record = MemoryRecord(clock)
    record.append("start", scores=table.start_scores, protocol={})
    write_prior(record, ((trial, trial.source, trial.name) for trial in prior))
    space, candidates = table.space, table.candidates
    rungs = strategy.rungs or table.rungs
    task = SearchTask(
        space=space,
        budget=table.budget,
        proxy=table.proxy,
        sampler=TableSampler(make_sampler(strategy.sampler, seed), candidates, space),
        rule=make_rule(strategy.stopping, table.noise),
        objectives=table.objectives,
        rungs=rungs,
        trials=len(candidates),
        seed=seed,
    )
    search = ArchitectureSearch(record, task)
    watch = _Watch(truth, table.objectives, clock)
    record.listeners.append(watch)
    bounded = _WithinSteps(search, watch, steps or len(candidates) * rungs[-1], until_top)
    watch.outcome.usage = run_virtual(
        bounded,
        lambda job: table.run(job, seed),
        conditions or Conditions(workers=strategy.workers),
        clock,
    )
    return watch.outcome


def feasible(table: RecordedTable) -> list[Architecture]:
    """The recorded architectures that are points of the table's space and fit its budget.

    Raises:
        InputError: if none is.
    """
    if not table.candidates:
        raise InputError("runs: no recorded architecture is a point of the space and fits the budget")
    return [architecture for architecture, _ in table.candidates]

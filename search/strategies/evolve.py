"""SnapFusion's search (Li et al., 2023): a network learns to do without its stages, and loses or copies some.

One job after another goes on with one training, in which each stage runs with a probability. At the end of
each the score without each stage is known, and the stages that are worth least for what they cost go, or the
best are copied (search/strategies/actions.py). What evolved is then trained by itself, as any trial: the last
network first, then those on the way that fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from search.formats import cost_in_words
from search.named import named_architecture
from search.objectives import CLIP, VALIDATION_LOSS, Objective, Objectives
from search.runs.files import SHARED_KEY
from search.runs.record import MemoryRecord, State
from search.strategies.actions import Limit, next_actions, valued
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategies.ledger import Ledger
from search.strategies.phases import Phases
from search.strategy import Decision, Job, Report, SharedTraining, Strategy
from space.architecture import Architecture
from space.budget import LATENCY, Budget
from space.candidates import as_unet
from space.choices import Space
from space.corners import corners
from space.decoder_space import unet_space
from space.paths import RobustPaths
from space.prices.macs import price
from space.shared.plain import InputError
from space.subnet import Subnet


@dataclass(frozen=True)
class EvolveSettings:
    """`rounds` of robust training of so many `steps`, in which each stage runs with a `probability`; after
    each at most so many `actions`, until the network is within the budget.

    `start` names an architecture; null is the largest of the space. `cost` is what actions save, of which
    the budget holds the bound: latency_ms by its price lists, also as what total_ms leaves, or gmacs, a
    stand-in. Stages are valued by the CLIP score of generated images, or by the loss on `validation_images`.
    """

    name: Literal["evolve"] = "evolve"
    start: str | None = None
    cost: Literal["latency_ms", "gmacs"] = "latency_ms"
    probability: float = 0.9
    rounds: int = 4
    steps: int = 250
    decay: Literal["none", "linear", "cosine"] = "none"
    actions: int = 3
    rank_by: Literal["clip", "validation_loss"] = "clip"
    validation_images: int = 64

    def __post_init__(self) -> None:
        for name in ("rounds", "steps", "actions", "validation_images"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if not 0 < self.probability <= 1:
            raise InputError(f"probability: {self.probability:g} is not possible; allowed: over 0, up to 1")

    def objective(self, objectives: Objectives) -> Objective:
        """The score that values stages."""
        if self.rank_by == "validation_loss":
            return Objective(VALIDATION_LOSS, "minimize", "log", "validation loss")
        return next(each for each in objectives if each.label == CLIP)

    def started(self, space: Space, presets: Mapping[str, str]) -> Architecture:
        return corners(space)[0] if self.start is None else named_architecture(self.start, presets)

    def make(self, record: MemoryRecord, task: SearchTask) -> Strategy:
        evolution = Evolution(record, task, self)

        def trials() -> Strategy:
            known = {architecture.id for architecture in task.enqueued}
            evolved = [network for network in evolution.fitting if network.id not in known]
            enqueued = (*task.enqueued, *evolved)
            trials = min(task.trials, len(enqueued))
            return ArchitectureSearch(record, replace(task, enqueued=enqueued, trials=trials))

        return Phases(evolution, trials)


def limit_of(settings: EvolveSettings, budget: Budget) -> Limit:
    """What networks cost, at the paper's scale, and may cost by the budget.

    Raises:
        InputError: the budget has no bound on it, or a price list cannot be read.
    """
    bound = budget.evaluation_bound if settings.cost == LATENCY else budget.bounds().get(settings.cost)
    if bound is None and settings.cost == LATENCY:
        raise InputError(
            "budget.latency_ms: missing; needed with budget.prices, a price list of a device (or total_ms); "
            "or, with strategy.cost=gmacs, multiply-accumulates in the place of milliseconds"
        )
    if bound is None:
        raise InputError("budget.gmacs: missing; needed: what the network may cost")
    _ = budget.lists  # read now: later an unknown cost is that of one network
    cost_of = budget.latency if settings.cost == LATENCY else lambda a: price(a).gmacs

    def fits(a: Architecture) -> bool:
        _ = budget.latencies(a)  # raises for what a list does not hold: a trial could not be scored
        return not budget.excess(a)

    return Limit(cost_of, bound, fits)


class Evolution:
    """A strategy of one training in several jobs, each with what the one before made of the network."""

    def __init__(self, record: MemoryRecord, task: SearchTask, settings: EvolveSettings) -> None:
        self.ledger, self.record, self.history = Ledger(record), record, record.history
        self.task, self.settings, self.running = task, settings, False

    @property
    def finished(self) -> bool:
        trial = self.history.by_key.get(SHARED_KEY)
        return trial is not None and trial.state != "running"

    def propose(self) -> Job | None:
        if self.finished or self.running:
            return None
        if self._all_done():  # killed before this was written
            self._write_ended()
            return None
        self.running, network = True, self.networks[-1]
        untils = [self.settings.steps * number for number in range(1, len(self.networks) + 1)]
        paths = [RobustPaths(each, self.settings.probability) for each in self.networks]
        shared = SharedTraining(
            tuple(zip(paths, untils, strict=True)),
            (network, *(network.without(stage) for stage in network.stages)),
            self.settings.steps * self.settings.rounds,
            self.settings.decay,
            self.settings.validation_images,
            self.settings.rank_by == "clip",
        )
        start, seed = self.networks[0].whole, self.task.seed
        job = Job(SHARED_KEY, "supernet", SHARED_KEY, start, seed, (untils[-1],), shared)
        if SHARED_KEY not in self.history.by_key:
            whole = replace(job, rungs=(self.settings.steps * self.settings.rounds,))
            said: dict[str, Any] = {"source": "strategy", "params": None, "sampler_attributes": {}}
            self.ledger.write_proposed(whole, 0, price(start), self.task.proxy, **said)
        return job

    def judge(self, key: str, report: Report) -> Decision:
        recorded = self.ledger.recorded(key, report.step)
        if recorded is not None:
            return recorded
        if report.inherited:
            self._write_evolved(report)  # before the rung: where that is recorded, this is
        return self.ledger.write_rung(key, report, Decision("end"))

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.running = False
        if state != "complete":
            self.ledger.write_ended(key, state, reason)
        elif self._all_done():
            self._write_ended()

    # ------------------------------------------------------------------ what is recorded so far

    @property
    def networks(self) -> list[Subnet]:
        """What each round trains: the start, then what the actions of each round made of it."""
        found = [Subnet.of(self._start)]
        for event in self._events():
            found.append(found[-1].after(event["actions"]))
        return found

    @property
    def fitting(self) -> list[Architecture]:
        """The networks that fit, the last first, each once."""
        if not self._events():
            return []
        over = [*(event["over"] for event in self._events()), self._events()[-1]["over_after"]]
        each = zip(reversed(self.networks), reversed(over), strict=True)
        found = [network.architecture for network, too_much in each if not too_much]
        return list({architecture.id: architecture for architecture in found}.values())

    @property
    def shortfall(self) -> str:
        """Why the last network is not within; empty if it is."""
        events = self._events()
        if not events or not events[-1]["over_after"]:
            return ""
        last = events[-1]
        left = "no round is left" if last["actions"] else "nothing that can go saves anything"
        over = "; ".join(self.task.budget.excess(self.networks[-1].architecture))
        return f"evolved to {cost_in_words(last['cost_after'], last['cost'])}, over budget ({over}): {left}"

    @cached_property
    def limit(self) -> Limit:
        return limit_of(self.settings, self.task.budget)

    @cached_property
    def _start(self) -> Architecture:
        begun = self.history.by_key.get(SHARED_KEY)
        if begun:
            return as_unet(begun.architecture)
        return self.settings.started(unet_space(self.task.space), self.task.presets)

    def _events(self) -> list[dict[str, Any]]:
        """Of rounds whose rung is recorded too."""
        trial = self.history.by_key.get(SHARED_KEY)
        return [] if trial is None else [e for e in self.history.evolved if e["step"] <= trial.last_step]

    def _all_done(self) -> bool:
        events = self._events()
        return len(events) >= self.settings.rounds or bool(events and not events[-1]["actions"])

    def _write_ended(self) -> None:
        self.ledger.write_ended(SHARED_KEY, "complete", self.shortfall)

    def _write_evolved(self, report: Report) -> None:
        network, objective = self.networks[-1], self.settings.objective(self.task.objectives)
        rows = valued(network, report.inherited, objective, self.limit)
        actions = next_actions(network, rows, self.limit, self.settings.actions)
        after = network.after(actions)
        self.record.append(
            "evolved",
            key=SHARED_KEY,
            step=report.step,
            round=len(self.networks),
            ranked_by=objective.name,
            cost=self.settings.cost,
            lists=[one.describe() for one in self.task.budget.lists] if self.settings.cost == LATENCY else [],
            at_most=self.limit.at_most,
            over=self.limit.over(network),
            inherited=list(report.inherited),
            score=report.inherited[0].get(objective.name),
            cost_before=self.limit.cost(network),
            stages=[asdict(row) for row in rows],
            actions=actions,
            cost_after=self.limit.cost(after),
            over_after=self.limit.over(after),
        )

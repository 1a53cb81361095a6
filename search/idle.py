"""Settings that change nothing in a search: words that name one are refused, the rest is said in a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from search.backends.cluster import ClusterSettings
from search.formats import counted
from search.samplers.base import MakesSampler
from search.samplers.factory import WITHOUT_PAST
from search.samplers.lasso import LassoSettings
from search.settings import SearchSettings
from search.stopping.base import MakesRule
from search.strategies.base import MakesStrategy
from search.strategies.evolve import EvolveSettings
from space.shared.plain import InputError
from training.settings import idle_settings


def refuse_idle(named: Iterable[str], settings: SearchSettings) -> None:
    """`named` are dotted names of fields. Raises InputError for the first that changes nothing here."""
    idle = {"training.steps": "in a search; allowed: rungs=[...], which say how long trials train"}
    if isinstance(settings.strategy, EvolveSettings):
        idle["sampler"] = "beside strategy=evolve, which proposes by itself; allowed: to leave it out"
    for name in named:
        for field, why in idle.items():
            if name == field or name.startswith(f"{field}."):
                raise InputError(f"{name}: has no effect {why}")


def idle_notes(settings: SearchSettings) -> list[str]:
    """A line for each setting that changes nothing, where it is not as usual or promises something."""
    notes, strategy = [], settings.strategy
    if isinstance(strategy, EvolveSettings):
        if settings.sampler != LassoSettings():
            notes.append(f"sampler={settings.sampler.name} has no effect: strategy={strategy.name} proposes")
        if strategy.start is not None:
            notes.append(
                f"space bounds no network: the evolution starts from strategy.start={strategy.start}"
            )
        if (most := trials_at_most(settings)) < settings.trials:
            notes.append(
                f"trials={settings.trials} are not reached: {counted(strategy.rounds, 'round')} and what is "
                f"enqueued make {most} at most"
            )
    if settings.stopping.name != "none" and len(settings.rungs) == 1:
        notes.append(f"stopping={settings.stopping.name} has no effect: one rung is the end of a trial")
    if settings.prior and (deaf := nobody_learns(settings)):
        notes.append(f"prior={list(settings.prior)} is in the report alone: {deaf}")
    if settings.backend == "inline" and settings.cluster != ClusterSettings():
        notes.append("cluster has no effect: backend=inline trains in this process")
    elif settings.cluster.parallel != "ddp" and settings.cluster.workers_per_trial == 1:
        notes.append(f"cluster.parallel={settings.cluster.parallel} has no effect: a trial has one worker")
    return notes + idle_settings(settings.training)


def trials_at_most(settings: SearchSettings) -> int:
    """An evolution leaves its start and what each round makes of it."""
    if not isinstance(settings.strategy, EvolveSettings):
        return settings.trials
    return min(settings.trials, len(settings.enqueue) + settings.strategy.rounds + 1)


class _Learning(Protocol):
    @property
    def strategy(self) -> MakesStrategy: ...
    @property
    def sampler(self) -> MakesSampler: ...
    @property
    def stopping(self) -> MakesRule: ...


def nobody_learns(settings: _Learning) -> str:
    """Why trials of earlier runs teach nobody; empty where they do."""
    if settings.stopping.name != "none":
        return ""
    if isinstance(settings.strategy, EvolveSettings):
        return "neither strategy=evolve nor stopping=none learns from earlier trials"
    if settings.sampler.name in WITHOUT_PAST:
        return f"neither sampler={settings.sampler.name} nor stopping=none learns from earlier trials"
    return ""

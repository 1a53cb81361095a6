"""A search without training: scores are a stated function of the architecture, over a small space, so that a
whole search takes milliseconds and what it should find is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.runs.files import RECORD_NAME
from search.runs.record import MemoryRecord
from search.samplers.base import Sampler
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategy import Job, Report, Strategy
from space.architecture import Architecture
from space.budget import Budget
from space.candidates import as_unet
from space.choices import LevelRanges, Space
from space.proxy import Proxy

SPACE = Space(  # 3,072 combinations, of which many encode one network: attention without layers, say
    levels={
        "level_1": LevelRanges((256, 320), layers_down=(0, 1), cross_attention=(False, True)),
        "level_2": LevelRanges(
            (512, 640, 768, 896),
            conv=("full", "separable"),
            layers_down=(0, 1, 2),
            layers_up=(0, 1),
            self_attention=(False, True),
            cross_attention=(False, True),
        ),
    },
    separable_expansion=(2, 4),
)
BUDGET = Budget(75, 100)  # about half of the space
RUNGS = (100, 200, 400)
START = Point.of(100.0, 0.0)
NOISE = Noise(tuple(RungNoise(step, 0.05, 0.02) for step in RUNGS), measured_under=())
WIDTHS = 512, 896  # of the innermost level


def quality(architecture: Architecture, widths: tuple[int, int] = WIDTHS) -> float:
    """What is good here, from 0 to 1: an innermost level that is wide, between the `widths` that it can
    have, and text."""
    inner, (least, most) = architecture.levels[-1], widths
    return 0.5 * inner.cross_attention + 0.5 * (inner.channels - least) / (most - least)


def scores_at(architecture: Architecture, step: int, widths: tuple[int, int] = WIDTHS) -> Point:
    """Where a network is after so many steps, in this world without training."""
    progress = quality(architecture, widths) * (step / RUNGS[-1]) ** 0.5
    return Point.of(START.fid - 90.0 * progress, START.clip + 0.9 * progress)


def search_in(
    record: MemoryRecord, sampler: Sampler, rule: StoppingRule, *, trials: int, start: Point = START
) -> ArchitectureSearch:
    """A search of this world, new or going on with what the record holds; `start` says what its objectives
    are."""
    if not record.history.start_scores:
        record.append("run", name="contract", trials=trials)
        record.append("start", scores=_named(start), protocol={})
    task = SearchTask(
        space=SPACE,
        budget=BUDGET,
        proxy=Proxy(),
        sampler=sampler,
        rule=rule,
        objectives=start.objectives,
        rungs=RUNGS,
        trials=trials,
        seed=0,
    )
    return ArchitectureSearch(record, task)


def drive(
    strategy: Strategy,
    scores: Callable[[Architecture, int], Point] = scores_at,
    *,
    most_rungs: int | None = None,
    started: Callable[[Job], None] = lambda job: None,
) -> int:
    """An inline backend of a few lines; stops dead, like a killed driver, after `most_rungs` reports."""
    reported = 0
    while (job := strategy.propose()) is not None:
        started(job)
        for step in job.rungs:
            if reported == most_rungs:
                return reported
            point = scores(as_unet(job.architecture), step)
            named = {"validation_loss": 1.0} | _named(point)
            decision = strategy.judge(job.key, Report(step, named, {"training": 1.0}))
            reported += 1
            if decision.word != "continue":
                strategy.take_result(
                    job.key, "halted" if decision.word == "halt" else "complete", decision.reason
                )
                break
    return reported


def decisions(folder: Path) -> list[dict[str, Any]]:
    """What a record says was decided, in order, without the times."""
    events = [json.loads(line) for line in (folder / RECORD_NAME).read_text(encoding="utf-8").splitlines()]
    kinds = ("proposed", "rejected", "rung", "ended")
    return [
        {key: value for key, value in event.items() if key != "time"}
        for event in events
        if event["event"] in kinds
    ]


def _named(point: Point) -> dict[str, float]:
    return {each.name: value for each, value in zip(point.objectives, point.values, strict=True)}

"""One training, many candidates: shared weights rank what the sampler proposes, and the best are trained.

First one job trains a supernet of the space (space/supernet.py) and scores a pool of candidates, each in
seconds by the weights that it inherits. Then they are tried in that order, each trained by itself as ever;
the record says what each was ranked by. Shared weights rank imperfectly: docs/search.md says how well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from search.latency import latency_score
from search.objectives import VALIDATION_LOSS, Objectives
from search.runs.files import SHARED_KEY
from search.runs.record import History, MemoryRecord, State
from search.samplers.base import Observation, Proposal, observations
from search.samplers.repair import PROPOSALS_BEFORE_REPAIR
from search.statistics.pareto import Point, best_order
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategies.ledger import Ledger
from search.strategies.phases import Phases
from search.strategy import Decision, Job, Report, SharedTraining, Strategy
from space.candidates import as_unet
from space.corners import corners
from space.decoder_space import unet_space
from space.paths import SpacePaths
from space.prices.macs import price
from space.search_space import AnySpace
from space.shared.plain import InputError

RankedBy = Literal["validation_loss", "objectives"]


@dataclass(frozen=True)
class SupernetSettings:
    """`steps` of shared training, reported `every` so many, at a learning rate with this `decay`; then
    `candidates` are ranked by their inherited loss on `validation_images`, or by the objectives of images
    that they generate."""

    name: Literal["supernet"] = "supernet"
    steps: int = 500
    every: int = 125
    decay: Literal["none", "linear", "cosine"] = "cosine"
    candidates: int = 200
    validation_images: int = 64
    rank_by: RankedBy = "validation_loss"

    def __post_init__(self) -> None:
        for name in ("steps", "every", "candidates", "validation_images"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")

    @property
    def rungs(self) -> tuple[int, ...]:
        return (*range(self.every, self.steps, self.every), self.steps)

    def make(self, record: MemoryRecord, task: SearchTask) -> Strategy:
        def ranked() -> Strategy:
            return ArchitectureSearch(record, replace(task, sampler=RankedCandidates(record.history)))

        return Phases(SupernetTraining(record, task, self), ranked)


class SupernetTraining:
    """A strategy of one job: the shared training, and at its end the scores that candidates inherit.

    The candidates are what the task's sampler proposes of trials of earlier runs alone, so that a resumed
    search ranks the same ones.
    """

    def __init__(self, record: MemoryRecord, task: SearchTask, settings: SupernetSettings) -> None:
        self.ledger, self.record, self.history = Ledger(record), record, record.history
        self.task, self.settings, self.started = task, settings, False
        self.space = unet_space(task.space)

    @property
    def finished(self) -> bool:
        trial = self.history.by_key.get(SHARED_KEY)
        return trial is not None and trial.state != "running"

    def propose(self) -> Job | None:
        if self.finished or self.started:
            return None
        self.started = True
        shared = SharedTraining(
            ((SpacePaths(self.space, self.task.budget), self.settings.steps),),
            tuple(as_unet(proposal.architecture) for proposal in self.pool),
            self.settings.steps,
            self.settings.decay,
            self.settings.validation_images,
            self.settings.rank_by == "objectives",
        )
        largest = corners(self.space)[0]
        job = Job(SHARED_KEY, "supernet", SHARED_KEY, largest, self.task.seed, self.settings.rungs, shared)
        if SHARED_KEY in self.history.by_key:  # interrupted
            return job
        return self.ledger.write_proposed(
            job, 0, price(largest), self.task.proxy, source="strategy", params=None, sampler_attributes={}
        )

    def judge(self, key: str, report: Report) -> Decision:
        recorded = self.ledger.recorded(key, report.step)
        if recorded is not None:
            return recorded
        last = report.step >= self.settings.rungs[-1]
        if report.inherited:
            self._write_ranks(report)  # before the rung: where that is recorded, these are
        return self.ledger.write_rung(key, report, Decision("end" if last else "continue"))

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.ledger.write_ended(key, state, reason)

    @cached_property
    def pool(self) -> list[Proposal]:
        """For each place the sampler's first proposal that fits the budget and is new; fewer where it finds
        no more."""
        task, found = self.task, dict[str, Proposal]()
        past = observations(self.history.prior, task.objectives)
        for number in range(self.settings.candidates):
            proposals = task.sampler.proposals(task.space, past, number)
            fitting = (
                proposal
                for proposal in islice(proposals, PROPOSALS_BEFORE_REPAIR)
                if proposal.architecture.id not in found and not task.budget.excess(proposal.architecture)
            )
            if (proposal := next(fitting, None)) is not None:
                found[proposal.architecture.id] = proposal
        if not found:
            raise InputError("strategy.candidates: the sampler proposes nothing that fits the budget")
        return list(found.values())

    def _write_ranks(self, report: Report) -> None:
        each = zip(report.inherited, self.pool, strict=True)
        scores = [own | latency_score(self.task.budget, proposal.architecture) for own, proposal in each]
        order = ranked(scores, self.settings.rank_by, self.task.objectives)
        self.record.append(
            "inherited",
            key=SHARED_KEY,
            step=report.step,
            ranked_by=self.settings.rank_by,
            candidates=[
                {
                    "architecture_id": self.pool[place].architecture.id,
                    "params": self.pool[place].params,
                    "attributes": self.pool[place].attributes,
                    "scores": scores[place],
                }
                for place in order
            ],
        )


def ranked(scores: Sequence[Mapping[str, float]], by: RankedBy, objectives: Objectives) -> list[int]:
    """Places in the order in which candidates are tried; those come last that miss a score, for it was no
    number."""
    names = [VALIDATION_LOSS] if by == "validation_loss" else [objective.name for objective in objectives]
    sound = [at for at, own in enumerate(scores) if all(name in own for name in names)]
    if by == "validation_loss":
        sound.sort(key=lambda at: scores[at][VALIDATION_LOSS])
    else:
        points = [Point(tuple(scores[at][name] for name in names), objectives) for at in sound]
        sound = [sound[place] for place in best_order(points)]
    return [*sound, *(at for at in range(len(scores)) if at not in set(sound))]


class RankedCandidates:
    """A sampler that goes through the candidates in the recorded order of what they inherited."""

    exhaustive = True

    def __init__(self, history: History) -> None:
        self.history = history

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        candidates = self.history.inherited.get("candidates", [])
        tried = [_plain(seen.params) for seen in past]
        for place, candidate in enumerate(candidates, 1):
            if _plain(candidate["params"]) not in tried:
                by = {"place": place, "of": len(candidates)} | candidate["scores"]
                made = Proposal.of(space, candidate["params"], candidate["attributes"])
                yield replace(made, attributes=made.attributes | {"inherited": by})


def _plain(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(params.items()))

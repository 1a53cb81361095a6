"""The search itself, as a plain object that knows no backend: propose, judge a rung, take a result.

A backend asks `propose` for jobs while it has room, reports each evaluation to `judge`, and tells how a
job ended with `take_result`. Everything that happens is in the record before the backend hears of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol

from search.objectives import Objectives
from search.runs.record import MemoryRecord, Purpose, State, Trial
from search.runs.scores import all_of, curve_of
from search.samplers.base import Proposal, Sampler, observations
from search.samplers.repair import repaired
from search.statistics.curves import Curve
from search.stopping.base import StoppingRule
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.prices.macs import Cost, price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

DRAWS_BEFORE_REPAIR = 200  # proposals for one trial before the last ones are shrunk into the budget


@dataclass(frozen=True)
class Job:
    """A training run that a backend should start or go on with: plain enough to travel to a worker."""

    key: str
    purpose: Purpose
    name: str
    architecture: Architecture
    seed: int
    rungs: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """What a worker measured at a rung; `deviations` of scores are those of resampled pictures."""

    step: int
    scores: dict[str, float]
    seconds: dict[str, float]
    deviations: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What becomes of a job after a rung."""

    word: Literal["continue", "halt", "end"]
    reason: str = ""


class Strategy(Protocol):
    """The three verbs, and whether there will be more to do."""

    def propose(self) -> Job | None:
        """The next job; None when there is none now (and, if `finished`, never will be)."""
        ...

    def judge(self, key: str, report: Report) -> Decision:
        """Called after each evaluation of a job, in order. A rung reported again, by a job that went on
        from before it, gets the decision that was recorded."""
        ...

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        """Called once when a job has ended, however it did."""
        ...

    @property
    def finished(self) -> bool: ...


class Ledger:
    """What every strategy does with a job once it is proposed: write down its rungs and its end."""

    def __init__(self, record: MemoryRecord) -> None:
        self.record = record

    def write_proposed(self, job: Job, number: int, cost: Cost, proxy: Proxy, **fields: Any) -> Job:
        self.record.append(
            "proposed",
            key=job.key,
            number=number,
            purpose=job.purpose,
            name=job.name,
            architecture=job.architecture.to_plain(),
            architecture_id=job.architecture.id,
            parameters=cost.parameters,
            macs=cost.macs,
            attention_macs=cost.attention_macs,
            proxy_parameters=price(narrow(job.architecture, proxy)).parameters,
            seed=job.seed,
            steps=job.rungs[-1],
            **fields,
        )
        return job

    def recorded(self, key: str, step: int) -> Decision | None:
        """The decision that stands in the record for a rung; None for a new one."""
        for rung in self.record.history.by_key[key].rungs:
            if rung.step == step:
                return Decision(rung.decision, rung.reason)
        return None

    def write_rung(self, key: str, report: Report, decision: Decision) -> Decision:
        self.record.append(
            "rung",
            key=key,
            step=report.step,
            scores=report.scores,
            seconds={name: round(seconds, 3) for name, seconds in report.seconds.items()},
            decision=decision.word,
            reason=decision.reason,
            deviations=report.deviations,
        )
        return decision

    def write_ended(self, key: str, state: State, reason: str) -> None:
        if self.record.history.by_key[key].state == "running":
            self.record.append("ended", key=key, state=state, reason=reason)


class ArchitectureSearch:
    """Proposes new architectures within a budget until `trials` of them have ended.

    Trials that the record holds as running were interrupted; they are proposed again first, under their
    old keys. `enqueued` architectures come before the sampler's, in order.
    """

    def __init__(
        self,
        record: MemoryRecord,
        *,
        space: Space,
        budget: Budget,
        proxy: Proxy,
        sampler: Sampler,
        rule: StoppingRule,
        objectives: Objectives,
        rungs: tuple[int, ...],
        trials: int,
        seed: int,
        enqueued: Sequence[Architecture] = (),
    ) -> None:
        self.ledger, self.record, self.history = Ledger(record), record, record.history
        self.space, self.budget, self.proxy = space, budget, proxy
        self.sampler, self.rule, self.objectives = sampler, rule, objectives
        self.rungs, self.trials, self.seed, self.enqueued = rungs, trials, seed, tuple(enqueued)
        self.interrupted = [trial for trial in self.history.trials if trial.state == "running"]
        self.exhaustive = bool(getattr(sampler, "exhaustive", False))
        self.refused = {self._refusal(r.before_trial, r.architecture_id) for r in self.history.rejections}
        self.exhausted = False
        # kept beside the history: thousands of trials are peers at every rung
        self.curves = {trial.key: curve_of(trial, objectives) for trial in self.history.known}

    @property
    def finished(self) -> bool:
        trials = self.history.trials
        all_proposed = self.exhausted or len(trials) >= self.trials
        return all_proposed and not any(trial.state == "running" for trial in trials)

    def propose(self) -> Job | None:
        if self.interrupted:
            return self._job_of(self.interrupted.pop(0))
        number = len(self.history.trials)
        if self.exhausted or number >= self.trials:
            return None
        if number < len(self.enqueued):
            return self._enqueued(number)
        proposal = self._first_feasible(number)
        if proposal is None:
            self.exhausted = True
            return None
        return self._start(number, proposal.architecture, "sampler", proposal.params, proposal.attributes)

    def judge(self, key: str, report: Report) -> Decision:
        recorded = self.ledger.recorded(key, report.step)
        if recorded is not None:
            return recorded
        decision = self.ledger.write_rung(key, report, self._decision(key, report))
        self.curves[key] = curve_of(self.history.by_key[key], self.objectives)
        return decision

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.ledger.write_ended(key, state, reason)

    # ------------------------------------------------------------------ proposing

    def _enqueued(self, number: int) -> Job:
        architecture = self.enqueued[number].canonical()
        excess = self.budget.excess(price(architecture))
        if excess:
            raise InputError(f"enqueued architecture {number + 1} is over budget: {'; '.join(excess)}")
        try:
            params = self.space.encode(architecture)
        except InputError:  # not a point of this space: trained, but nothing that a sampler can learn from
            params = None
        return self._start(number, architecture, "enqueued", params, {})

    def _first_feasible(self, number: int) -> Proposal | None:
        """The sampler's first proposal that fits the budget and is new; else its last ones, shrunk, unless it
        goes through the whole space and so has come by those as well."""
        past = observations(self.history.known, self.objectives, self.curves)
        proposals = self.sampler.proposals(self.space, past, number)
        drawn = []
        for proposal in islice(proposals, None if self.exhaustive else DRAWS_BEFORE_REPAIR):
            drawn.append(proposal)
            if self._accepts(number, proposal.architecture):
                return proposal
        for index, proposal in enumerate([] if self.exhaustive else reversed(drawn)):
            seed = numbered_seed(self.seed, f"repair {number}", index)
            shrunk = repaired(self.space, proposal, self._is_new_and_fits, seed)
            if shrunk is not None:
                return shrunk
        return None

    def _is_new_and_fits(self, architecture: Architecture) -> bool:
        return not self.budget.excess(price(architecture)) and self._twin(architecture) is None

    def _twin(self, architecture: Architecture) -> Trial | None:
        """The trial of the same network, if there was one."""
        return self.history.by_architecture.get(architecture.id)

    def _accepts(self, number: int, architecture: Architecture) -> bool:
        """Whether a proposal may become a trial; if not, the ledger of rejections holds it, once a trial: a
        search that was killed while it proposed comes by the same ones again."""
        cost = price(architecture)
        excess, twin = self.budget.excess(cost), self._twin(architecture)
        if not excess and twin is None:
            return True
        if self._refusal(number, architecture.id) in self.refused:
            return False
        self.refused.add(self._refusal(number, architecture.id))
        self.record.append(
            "rejected",
            before_trial=number,
            kind="budget" if excess else "duplicate",
            architecture_id=architecture.id,
            parameters=cost.parameters,
            gmacs=round(cost.gmacs, 3),
            reason="; ".join(excess) if excess or twin is None else f"the network of {twin.name}",
        )
        return False

    def _refusal(self, number: int, architecture_id: str) -> tuple[int, str]:
        """What counts as the same refusal: a sampler that goes through the whole space comes by a network
        again where trials have failed, of which it does not hear."""
        return (0 if self.exhaustive else number, architecture_id)

    def _start(
        self,
        number: int,
        architecture: Architecture,
        source: str,
        params: dict[str, Any] | None,
        attributes: dict[str, Any],
    ) -> Job:
        # one seed for all: the same prompts, noise and data order make differences paired
        job = Job(str(number), "search", f"trial {number}", architecture, self.seed, self.rungs)
        return self.ledger.write_proposed(
            job,
            number,
            price(architecture),
            self.proxy,
            source=source,
            params=params,
            sampler_attributes=attributes,
        )

    def _job_of(self, trial: Trial) -> Job:
        return Job(trial.key, trial.purpose, trial.name, trial.architecture, trial.seed, self.rungs)

    # ------------------------------------------------------------------ judging

    def _decision(self, key: str, report: Report) -> Decision:
        if report.step >= self.rungs[-1]:
            return Decision("end")
        here = all_of(report.scores, self.objectives)
        before = self.curves.get(key, Curve())
        reason = self.rule.reason_to_halt(
            Curve((*before.steps, report.step), (*before.points, here)),
            [self.curves.get(peer.key, Curve()) for peer in self.history.known if peer.key != key],
            all_of(self.history.start_scores, self.objectives),
            self.rungs[-1],
        )
        return Decision("halt", reason) if reason else Decision("continue")


class Phases:
    """Strategies one after the other, as one: the next is made when the one before has finished.

    Backends keep their workers from one phase to the next.
    """

    def __init__(self, first: Strategy, *then: Any) -> None:
        self.phases: list[Strategy] = [first]
        self.waiting = list(then)

    def propose(self) -> Job | None:
        job = self.phases[-1].propose()
        while job is None and self.phases[-1].finished and self.waiting:
            self.phases.append(self.waiting.pop(0)())
            job = self.phases[-1].propose()
        return job

    def judge(self, key: str, report: Report) -> Decision:
        return self.phases[-1].judge(key, report)

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.phases[-1].take_result(key, state, reason)

    @property
    def finished(self) -> bool:
        return self.phases[-1].finished and all(make().finished for make in self.waiting)

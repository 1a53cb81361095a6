"""The present strategy: candidates that a sampler proposes, each trained by itself from its own start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from search.runs.record import MemoryRecord, State, Trial
from search.runs.scores import all_of, curve_of
from search.samplers.base import Proposal, observations
from search.samplers.elsewhere import observations_elsewhere
from search.samplers.repair import FirstAccepted
from search.statistics.curves import Curve
from search.strategies.base import SearchTask
from search.strategies.ledger import Ledger
from search.strategy import Decision, Job, Report, Strategy
from space.candidates import Candidate
from space.prices.candidates import candidate_price
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class IndependentSettings:
    name: Literal["independent"] = "independent"

    def make(self, record: MemoryRecord, task: SearchTask) -> Strategy:
        return ArchitectureSearch(record, task)


class ArchitectureSearch:
    """Proposes new architectures within a budget until `trials` of them have ended.

    Trials that the record holds as running were interrupted; they are proposed again first, under their
    old keys. `enqueued` architectures come before the sampler's, in order.
    """

    def __init__(self, record: MemoryRecord, task: SearchTask) -> None:
        self.ledger, self.record, self.history = Ledger(record), record, record.history
        self.space, self.budget, self.proxy = task.space, task.budget, task.proxy
        self.first_accepted = FirstAccepted(task.space, task.budget)
        self.sampler, self.rule, self.objectives = task.sampler, task.rule, task.objectives
        self.rungs, self.trials, self.seed, self.enqueued = task.rungs, task.trials, task.seed, task.enqueued
        self.interrupted = [trial for trial in self.history.trials if trial.state == "running"]
        self.exhaustive = bool(getattr(task.sampler, "exhaustive", False))
        self.refused = {self._refusal(r.before_trial, r.architecture_id) for r in self.history.rejections}
        self.exhausted = False
        # kept beside the history: thousands of trials are peers at every rung
        self.curves = {trial.key: curve_of(trial, task.objectives) for trial in self.history.known}

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
        architecture = self.enqueued[number].simplified()
        excess = self.budget.excess(architecture)
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
        past = observations_elsewhere(self.history)
        past += observations(self.history.known, self.objectives, self.curves)
        return self.first_accepted.of(
            self.sampler.proposals(self.space, past, number),
            lambda proposal: self._accepts(number, proposal.architecture),
            self._is_new_and_fits,
            lambda index: numbered_seed(self.seed, f"repair {number}", index),
            exhaustive=self.exhaustive,
        )

    def _is_new_and_fits(self, architecture: Candidate) -> bool:
        return not self.budget.excess(architecture) and self._duplicate(architecture) is None

    def _duplicate(self, architecture: Candidate) -> Trial | None:
        """The trial of the same network, if there was one."""
        return self.history.by_architecture.get(architecture.id)

    def _accepts(self, number: int, architecture: Candidate) -> bool:
        """Whether a proposal may become a trial; if not, the ledger of rejections holds it, once a trial: a
        search that was killed while it proposed comes by the same ones again."""
        cost = candidate_price(architecture)
        excess, duplicate = self.budget.excess(architecture), self._duplicate(architecture)
        if not excess and duplicate is None:
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
            reason="; ".join(excess) if excess or duplicate is None else f"the network of {duplicate.name}",
        )
        return False

    def _refusal(self, number: int, architecture_id: str) -> tuple[int, str]:
        """What counts as the same refusal: a sampler that goes through the whole space comes by a network
        again where trials have failed, of which it does not hear."""
        return (0 if self.exhaustive else number, architecture_id)

    def _start(
        self,
        number: int,
        architecture: Candidate,
        source: str,
        params: dict[str, Any] | None,
        attributes: dict[str, Any],
    ) -> Job:
        # one seed for all: the same prompts, noise and data order make differences paired
        job = Job(str(number), "search", f"trial {number}", architecture, self.seed, self.rungs)
        return self.ledger.write_proposed(
            job,
            number,
            candidate_price(architecture),
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
        before = self.curves.get(key, Curve())
        here = all_of(report.scores, self.objectives)
        reason = self.rule.reason_to_stop(
            Curve((*before.steps, report.step), (*before.points, here), (*before.scores, report.scores)),
            [self.curves.get(peer.key, Curve()) for peer in self.history.known if peer.key != key],
            all_of(self.history.start_scores, self.objectives),
            self.rungs[-1],
        )
        return Decision("halt", reason) if reason else Decision("continue")

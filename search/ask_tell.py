"""A search whose training is elsewhere: it is asked for networks, and told what became of them.

    search = mdsearch.ask_tell("rungs=[1000,4000]", "start={fid: 300, clip: 0.1}", "budget.gmacs=120")
    while asked := search.ask():
        for step in asked.rungs:
            told = search.tell(asked, step, fid=..., clip=...)  # whatever was trained and scored there
            if not told.goes_on:
                break

Budgets, sampler, stopping rule, record and report are those of any search. The record is on the disk before
`ask` and `tell` return, so `resume=` goes on after any interruption.
"""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import yaml

from search.ask_tell_settings import (
    AskTellSettings,
    check_scores,
    check_told_prior,
    claimed,
    header_of_told,
    serve_command,
    told_protocol,
)
from search.checks import check_choosing
from search.confirmation.unmeasured import noise_note
from search.custom import keep_custom
from search.idle import nobody_learns
from search.latency import check_same_lists, latency_score
from search.other_side import image_notes
from search.preparation import search_strategy
from search.run import RunResult
from search.runs.files import CONFIG_NAME
from search.runs.header import noise_of_rule
from search.runs.prior import take_prior
from search.runs.record import Record, Trial
from search.runs.results import Listener, Results
from search.runs.scores import best_first
from search.strategies.independent import ArchitectureSearch
from search.strategy import Job, Report
from space.architecture import Architecture
from space.candidates import as_unet
from space.proxy import narrow
from space.shared.files import write_whole
from space.shared.plain import InputError, nearest, to_plain


@dataclass(frozen=True)
class Asked:
    """A network to train: `architecture` at the paper's scale, `trained` narrowed by the proxy. `rungs` are
    to be told; `from_step` was the last one told, above 0 where it goes on after an interruption."""

    key: str
    name: str
    architecture: Architecture
    trained: Architecture
    seed: int
    rungs: tuple[int, ...]
    from_step: int = 0

    def __repr__(self) -> str:
        return f"Asked({self.name}: {self.architecture.id}, rungs {list(self.rungs)}, from {self.from_step})"


@dataclass(frozen=True)
class Told:
    """What becomes of a trial after a rung, and why it was stopped."""

    state: Literal["running", "stopped", "complete"]
    reason: str = ""

    @property
    def goes_on(self) -> bool:
        return self.state == "running"


class AskTell:
    """A search that is asked and told, from any thread. It writes to its run folder until it is closed.

    Raises:
        InputError: for settings that cannot work, or a folder that is another run's.
    """

    def __init__(
        self, settings: AskTellSettings, overrides: Sequence[str] = (), listeners: Sequence[Listener] = ()
    ) -> None:
        check_choosing(settings, {"enqueue": settings.enqueue})
        if settings.resume is None:  # a resumed search has their trials in its own record
            check_told_prior(settings)
        self.settings, self.folder = settings, claimed(settings)
        self._closed: RunResult | None = None
        self._lock, self._record = threading.RLock(), Record(self.folder)
        try:
            self._begin(list(overrides))
            strategy = search_strategy(settings, self._record, noise_of_rule(self._record.history))
            assert isinstance(strategy, ArchitectureSearch)
            self._strategy = strategy
            self._end_those_judged()
            self._results = Results(self.folder, self._record, listeners)
        except BaseException:
            self._record.close()
            raise
        self._record.listeners.append(self._results.event)

    def _begin(self, overrides: list[str]) -> None:
        settings, record = self.settings, self._record
        if not record.history.header:
            config = yaml.safe_dump(to_plain(settings), sort_keys=False)
            write_whole(self.folder / CONFIG_NAME, config)
            record.append("run", **header_of_told(settings, self.folder.name, overrides))
        check_same_lists(record.history.header, settings.budget)
        if not record.history.start_scores:
            protocol = told_protocol(settings, self.folder.name)
            record.append("start", scores=settings.start, protocol=protocol)
        for note in image_notes(settings.budget, settings.space, resumed=settings.resume is not None):
            print(note)
        if settings.noise is not None and (note := noise_note(record.history.header)):
            print(f"noise: {note}; measured_under: [] says that it is that of the scores that are told")
        if settings.prior and (deaf := nobody_learns(settings)):
            print(f"prior={list(settings.prior)} is in the report alone: {deaf}")
        if not record.history.sessions:
            take_prior(record, settings.prior)
        uses = {name: getattr(getattr(settings, name), "use", None) for name in ("sampler", "stopping")}
        kept = keep_custom(self.folder, record.history, print, **uses)
        record.append("session", trials=settings.trials, backend="told", own=kept)

    def ask(self) -> Asked | None:
        """The next network to train; None when there is none now, and, if `finished`, never will be. After an
        interruption those that were under way come first."""
        with self._lock:
            job = self._strategy.propose()
            return None if job is None else self._asked(job)

    def tell(
        self,
        asked: Asked | str | int,
        step: int,
        scores: Mapping[str, float] | None = None,
        /,
        **named: float,
    ) -> Told:
        """The scores of a trial at a rung, by name: those that decide and any others; `seconds`, if named, is
        what they took. A rung told again gets the answer that it got.

        Raises:
            InputError: a trial that was never asked for or has ended, a step that is not its next rung, a
                score that is missing, is no number, or was told otherwise before.
        """
        step, scores = _whole(step), _numbers({**(scores or {}), **named})
        seconds = scores.pop("seconds", 0.0)
        if not 0 <= seconds < math.inf:
            raise InputError(f"seconds: {seconds} is not possible; allowed: 0 or more")
        with self._lock:
            trial = self._trial(asked)
            check_scores(trial.name, scores, self.settings.objectives)
            if any(rung.step == step for rung in trial.rungs):
                _check_same(trial, step, scores)
            else:
                self._check_next(trial, step)
            scores = self._with_latency(trial, scores)
            decision = self._strategy.judge(trial.key, Report(step, scores, {"training": seconds}))
            self._under_way(trial)
            return self._ended(trial, decision.word, decision.reason)

    def fail(self, asked: Asked | str | int, reason: str) -> None:
        """A trial that came to nothing: it diverged, or its machine was lost for good."""
        with self._lock:
            trial = self._trial(asked)
            if trial.state != "running":
                raise InputError(f"{trial.name}: has ended already: {trial.state}")
            self._under_way(trial)
            self._strategy.take_result(trial.key, "failed", reason)

    @property
    def finished(self) -> bool:
        return self._strategy.finished

    @property
    def best(self) -> Architecture | None:
        """The best complete network by its one run; who is beyond the noise of whom, only repeats can say."""
        found = best_first(self._record.history.trials, self.settings.objectives)
        return as_unet(found[0].architecture) if found else None

    def close(self) -> RunResult:
        """Write what is made of the record, and let go of the folder; `resume=` goes on with it."""
        with self._lock:
            if self._closed is None:
                report = self._results.write()
                self._record.close()
                self._closed = RunResult(self.folder, self._record.history, report, not self.finished)
            return self._closed

    def __enter__(self) -> AskTell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AskTell({self.folder}: {self._record.history!r})"

    def _asked(self, job: Job) -> Asked:
        asked = as_unet(job.architecture)
        narrowed = narrow(asked, self.settings.proxy)
        last = self._record.history.by_key[job.key].last_step
        left = tuple(rung for rung in job.rungs if rung > last)
        return Asked(job.key, job.name, asked, narrowed, job.seed, left, last)

    def _with_latency(self, trial: Trial, scores: dict[str, float]) -> dict[str, float]:
        """What an image takes decides the split, and is known here."""
        budget = self.settings.budget
        return scores if budget.image is None else latency_score(budget, trial.architecture) | scores

    def _trial(self, asked: Asked | str | int) -> Trial:
        key = asked.key if isinstance(asked, Asked) else str(asked)
        if self._closed is not None:
            raise InputError(f"{self.folder}: is closed; go on with: {serve_command(self.folder)}")
        known = self._record.history.by_key
        if key not in known:
            raise InputError(f"trial {key}: was never asked for; {nearest(key, known)}")
        return known[key]

    def _check_next(self, trial: Trial, step: int) -> None:
        if trial.state != "running":
            raise InputError(f"{trial.name}: has ended already: {trial.state}")
        due = next(rung for rung in self.settings.rungs if rung > trial.last_step)
        if step != due:
            raise InputError(f"{trial.name}: step {step} is not its next rung; allowed: {due}")

    def _ended(self, trial: Trial, word: str, reason: str) -> Told:
        if word == "continue":
            return Told("running")
        if word == "halt":
            self._strategy.take_result(trial.key, "halted", reason)
            return Told("stopped", reason)
        self._strategy.take_result(trial.key, "complete")
        return Told("complete")

    def _end_those_judged(self) -> None:
        """Whose last rung was judged by a driver that was killed before it wrote down the end."""
        for trial in list(self._strategy.interrupted):
            if trial.rungs and trial.rungs[-1].decision != "continue":
                self._ended(trial, trial.rungs[-1].decision, trial.rungs[-1].reason)
                self._under_way(trial)

    def _under_way(self, trial: Trial) -> None:
        """One that is told of after an interruption need not be asked for again."""
        waiting = self._strategy.interrupted
        waiting[:] = [other for other in waiting if other.key != trial.key]


def _whole(step: Any) -> int:
    try:
        if isinstance(step, bool):
            raise TypeError
        return operator.index(step)  # also of numpy
    except TypeError:
        raise InputError(f"step: {step!r:.40} is no whole number; allowed: the trial's next rung") from None


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Whatever counts as a number: of numpy, of a tensor."""
    found = dict[str, float]()
    for name, value in scores.items():
        try:
            if isinstance(value, (bool, str, bytes)) or "bool" in str(getattr(value, "dtype", "")):
                raise TypeError
            found[str(name)] = float(value)
        except (OverflowError, TypeError, ValueError):
            raise InputError(
                f"{name}: {value!r:.40} is no number; a trial that diverged has failed"
            ) from None
    return found


def _check_same(trial: Trial, step: int, scores: Mapping[str, float]) -> None:
    before = next(rung.scores for rung in trial.rungs if rung.step == step)
    for name, value in scores.items():
        if before.get(name) != value:
            raise InputError(
                f"{trial.name}: step {step}: {name} = {value:g} differs from {before.get(name)}, told before"
            )

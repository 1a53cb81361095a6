"""Training the best few again, with new seeds, beside the reference points that no sampler ever saw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from search.ranking import Objectives, best_first
from search.record import MemoryRecord, State, Trial
from search.strategy import Decision, Job, Ledger, Report
from space.architecture import Architecture
from space.cost import price
from space.plain import InputError
from space.proxy import Proxy


@dataclass(frozen=True)
class ConfirmationSettings:
    """How the winners are checked.

    `best` trials and the `references` (names in conf/arch) are trained with `seeds` new seeds each, for
    `steps` (null: as in the search), first all with the first seed, then all with the second. A run is
    started only if it should end within `minutes` (null: no limit) of the phase's beginning. `halted`
    reruns so many halted trials to the search's full length, whatever `steps`, with its own seed, so that
    wrong stops can be counted against its complete trials.
    """

    best: int = 1
    references: tuple[str, ...] = ("md", "md_lite")
    seeds: int = 2
    steps: int | None = None
    minutes: float | None = 3.0
    halted: int = 0

    def __post_init__(self) -> None:
        for name in ("best", "seeds", "halted"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps: {self.steps} is too few; allowed: 1 or more, or null")
        if self.minutes is not None and self.minutes < 0:
            raise InputError(f"minutes: {self.minutes:g} is negative; allowed: 0 or more, or null")


@dataclass(frozen=True)
class _Candidate:
    name: str
    architecture: Architecture
    seeds: tuple[int, ...]
    steps: int


class Confirmation:
    """A strategy like the search, over a list of runs that is settled when it begins.

    Runs that the record holds already, from an earlier session or fewer seeds, are not repeated.
    """

    def __init__(
        self,
        record: MemoryRecord,
        settings: ConfirmationSettings,
        references: Mapping[str, Architecture],
        *,
        objectives: Objectives,
        proxy: Proxy,
        steps: int,
        seed: int,
    ) -> None:
        self.ledger, self.history = Ledger(record), record.history
        self.settings, self.proxy = settings, proxy
        self.steps, self.search_steps = settings.steps or steps, steps
        self.began = time.monotonic()
        self.skipped: list[str] = []
        done = {trial.key: trial for trial in self.history.confirmations}
        interrupted = [_job_of(trial) for trial in done.values() if trial.state == "running"]
        self.jobs = interrupted + [
            job for job in self._planned(references, objectives, seed) if job.key not in done
        ]
        self.running: set[str] = set()

    @property
    def finished(self) -> bool:
        return not self.jobs and not self.running

    def propose(self) -> Job | None:
        if self.jobs and not self._fits_in_time():
            self.skipped = [job.key for job in self.jobs]
            self.jobs = []
        if not self.jobs:
            return None
        job = self.jobs.pop(0)
        self.running.add(job.key)
        if job.key in self.history.by_key:
            return job
        number = len(self.history.confirmations)
        return self.ledger.write_proposed(
            job,
            number,
            price(job.architecture),
            self.proxy,
            source="confirmation",
            params=None,
            sampler_attributes={},
        )

    def judge(self, key: str, report: Report) -> Decision:
        recorded = self.ledger.recorded(key, report.step)
        if recorded is not None:
            return recorded
        last = report.step >= self.history.by_key[key].steps
        return self.ledger.write_rung(key, report, Decision("end" if last else "continue"))

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.running.discard(key)
        self.ledger.write_ended(key, state, reason)

    # ------------------------------------------------------------------ the plan

    def _planned(
        self, references: Mapping[str, Architecture], objectives: Objectives, seed: int
    ) -> list[Job]:
        """Seed by seed, so that whatever time allows is comparable."""
        new_seeds = tuple(seed + 1000 + index for index in range(self.settings.seeds))
        best = best_first(self.history.trials, objectives)[: self.settings.best]
        compared = {trial.name: trial.architecture for trial in best}
        if best:
            compared |= references
        candidates = [_Candidate(*named, new_seeds, self.steps) for named in compared.items()]
        halted = [trial for trial in self.history.trials if trial.state == "halted"][: self.settings.halted]
        candidates += [
            _Candidate(trial.name, trial.architecture, (seed,), self.search_steps) for trial in halted
        ]
        jobs = [
            (place, _confirmation_job(candidate, run_seed))
            for candidate in candidates
            for place, run_seed in enumerate(candidate.seeds)
        ]
        return [job for _, job in sorted(jobs, key=lambda pair: pair[0])]

    def _fits_in_time(self) -> bool:
        if self.settings.minutes is None:
            return True
        elapsed = time.monotonic() - self.began
        return elapsed + self.expected_seconds() <= 60 * self.settings.minutes

    def expected_seconds(self) -> float:
        """What the next run should take: the median pace of the complete runs so far, times its steps."""
        complete = [trial for trial in self.history.by_key.values() if trial.state == "complete"]
        paces = [trial.seconds / trial.last_step for trial in complete if trial.last_step]
        return median(paces or [0.0]) * (self.jobs[0].rungs[-1] if self.jobs else self.steps)


def _confirmation_job(candidate: _Candidate, seed: int) -> Job:
    key = f"{candidate.name.replace(' ', '-')}-seed{seed}-steps{candidate.steps}"
    return Job(key, "confirm", candidate.name, candidate.architecture, seed, (candidate.steps,))


def _job_of(trial: Trial) -> Job:
    return Job(trial.key, trial.purpose, trial.name, trial.architecture, trial.seed, (trial.steps,))

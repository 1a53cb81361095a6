"""The best few race again with new seeds, beside the reference points, of which no recorded network tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from search.confirmation.race import Race, Standing
from search.formats import label
from search.objectives import Objectives
from search.runs.record import MemoryRecord, State, Trial
from search.runs.scores import within_noise
from search.statistics.noise import Noise
from search.strategies.ledger import Ledger
from search.strategy import Decision, Job, Report
from space.candidates import Candidate
from space.prices.candidates import candidate_price
from space.proxy import Proxy
from space.shared.plain import InputError


@dataclass(frozen=True)
class ConfirmationSettings:
    """How the winners are checked.

    The `best` trials, of those that no other beats beyond the noise, and the `references` (names in
    conf/arch) race with new seeds, for `steps` (null: as in the search), until the verdict is clear. Each is
    trained with at most `seeds` of them, all together `runs` times, with those that the record holds
    (null: no limit). A run is started only if it should end within `minutes` (null: no limit) of the phase's
    beginning. `stopped` reruns so many stopped trials to the search's full length, whatever `steps`, with its
    own seed, so that wrong stops can be counted against its complete trials.
    """

    best: int = 2
    references: tuple[str, ...] = ("md", "md_lite")
    seeds: int = 8
    steps: int | None = None
    minutes: float | None = 6.0
    runs: int | None = None
    stopped: int = 0

    def __post_init__(self) -> None:
        for name in ("best", "seeds", "stopped"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps: {self.steps} is too few; allowed: 1 or more, or null")
        for name in ("minutes", "runs"):
            limit = getattr(self, name)
            if limit is not None and limit < 0:
                raise InputError(f"{name}: {limit:g} is negative; allowed: 0 or more, or null")


class Confirmation:
    """A strategy like the search. Which run is next is a function of the record alone, so that a resumed
    race goes on as it would have; only the minutes are counted anew.

    Runs that the record holds already, from an earlier session, are not repeated. A run of the search's
    length is evaluated at the search's rungs: repeated seeds are what its noise is estimated from.
    """

    def __init__(
        self,
        record: MemoryRecord,
        settings: ConfirmationSettings,
        references: Mapping[str, Candidate],
        *,
        objectives: Objectives,
        noise: Noise,
        proxy: Proxy,
        rungs: tuple[int, ...],
        seed: int,
    ) -> None:
        self.ledger, self.record, self.history = Ledger(record), record, record.history
        self.settings, self.proxy, self.rungs = settings, proxy, rungs
        best = within_noise(self.history.trials, objectives, noise)[: settings.best]
        racing = references if best else {}
        self.architectures = {trial.name: trial.architecture for trial in best} | dict(racing)
        self.race = Race(
            finalists=tuple(trial.name for trial in best),
            references=tuple(racing),
            seeds=tuple(seed + 1000 + index for index in range(settings.seeds)),
            steps=settings.steps or rungs[-1],
            objectives=objectives,
            noise=noise,
        )
        self.began = record.clock()
        self.out_of_time = False
        unfinished = [trial for trial in self.history.confirmations if trial.state == "running"]
        self.first = [self._job_of(trial) for trial in unfinished] + self._reruns(seed)
        self.running: set[str] = set()

    @property
    def standing(self) -> Standing:
        return self.race.at(self.history.confirmations)

    @property
    def finished(self) -> bool:
        return not self.running and self._next() is None

    @property
    def undecided(self) -> list[str]:
        """Comparisons that are still undecided, which more seeds may decide, and runs that did not fit."""
        pairs = [f"{label(name)} against {label(other)}" for name, other in self.standing.open_pairs]
        interrupted = [job for job in self.first if job.key in self.history.by_key]
        reruns = [job for job in self.first if job not in interrupted]
        return [
            *pairs,
            *(f"the interrupted run of {label(job.name)} with seed {job.seed}" for job in interrupted),
            *(f"whether {label(job.name)} was stopped wrongly" for job in reruns),
        ]

    def propose(self) -> Job | None:
        found = self._next()
        if found is None:
            return None
        job, why = found
        self.first = self.first[1:]
        self.running.add(job.key)
        if job.key in self.history.by_key:
            return job
        return self.ledger.write_proposed(
            job,
            len(self.history.confirmations),
            candidate_price(job.architecture),
            self.proxy,
            source="confirmation",
            why=why,
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

    # ------------------------------------------------------------------ the next run

    def _next(self) -> tuple[Job, str] | None:
        """The next run and why: what was interrupted, stopped trials to rerun, then the race's next move."""
        if self.first:
            found = self.first[0], "to count wrong stops"
        else:
            move = self.standing.next_move()
            if move is None:
                return None
            found = self._job(move.name, self.architectures[move.name], move.seed, self.race.steps), move.why
        recorded, most = len(self.history.confirmations), self.settings.runs
        if most is not None and recorded >= most and found[0].key not in self.history.by_key:
            return None
        self.out_of_time = self.out_of_time or not self._fits_in_time(found[0])
        return None if self.out_of_time else found

    def _reruns(self, seed: int) -> list[Job]:
        stopped = [trial for trial in self.history.trials if trial.state == "halted"][: self.settings.stopped]
        jobs = [self._job(trial.name, trial.architecture, seed, self.rungs[-1]) for trial in stopped]
        return [job for job in jobs if job.key not in self.history.by_key]

    def _job(self, name: str, architecture: Candidate, seed: int, steps: int) -> Job:
        key = f"{name.replace(' ', '-')}-seed{seed}-steps{steps}"
        return Job(key, "confirm", name, architecture, seed, self._rungs(steps))

    def _job_of(self, trial: Trial) -> Job:
        return Job(
            trial.key, trial.purpose, trial.name, trial.architecture, trial.seed, self._rungs(trial.steps)
        )

    def _rungs(self, steps: int) -> tuple[int, ...]:
        """A run of another length is another protocol, whose rungs would not compare with the search's."""
        return self.rungs if steps == self.rungs[-1] else (steps,)

    def _fits_in_time(self, job: Job) -> bool:
        if self.settings.minutes is None:
            return True
        elapsed = self.record.clock() - self.began
        return elapsed + self.expected_seconds(job.rungs[-1]) <= 60 * self.settings.minutes

    def expected_seconds(self, steps: int) -> float:
        """What a run of so many steps should take: the median pace of the complete runs so far."""
        trained = [*self.history.trials, *self.history.confirmations]
        complete = [trial for trial in trained if trial.state == "complete"]
        paces = [trial.seconds / trial.last_step for trial in complete if trial.last_step]
        return median(paces or [0.0]) * steps

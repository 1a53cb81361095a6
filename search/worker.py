"""Training runs on one worker, rung by rung: gone on with where they were left, saved in between.

Nothing here knows Ray, Optuna or Hydra: the same code runs in this process, in an actor of a cluster, or
by hand on a bare GPU machine.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from search.runs.files import ARCHITECTURE_NAME, job_folder, make_job_folder
from search.strategy import Job, Report
from search.trial_log import log_work
from search.trial_words import StartsAgain, WorkerWord, told
from space.shared.files import remove_unfinished, write_whole
from space.shared.plain import InputError
from space.shared.retries import patiently, storage_error
from training.checkpoints import Checkpoints
from training.distributed.ranks import RankGroup
from training.failures import Diverged
from training.logs.watching import Watched
from training.loop import TrainingLoop
from training.state import TrainingState
from training.supernet import SharedTrainer, loop_of
from training.trainer import Trainer

SAVED_EVERY_SECONDS = 600  # between rungs
AnyTrainer = SharedTrainer | TrainingLoop[Any]


class Peers:
    """The other workers of a trial, as the first one commands them; by default there are none."""

    def begin(self, job: Job, step: int, micro_batch: int | None) -> None:
        """They have a trainer at this step when this returns."""

    def train_to(self, step: int) -> None:
        """They begin; asked again for the same step, they just go on."""

    def wait(self) -> None:
        """Until they have come there."""

    def generate(
        self, trainer: Trainer, captions: Sequence[str], *, seed: int, batch_size: int
    ) -> np.ndarray:
        """The images of the first one's trainer, at the step that all have come to."""
        return trainer.generate(captions, seed=seed, batch_size=batch_size)


@dataclass
class RungWork:
    """From one rung to the next. `seconds` grow with every attempt, `from_step` with every state saved."""

    from_step: int
    to_step: int
    seconds: dict[str, float]
    states: Checkpoints
    watched: Watched


class RungWorker(ABC):
    """Runs jobs, one at a time.

    Attributes:
        ranks, peers: where a trial has several workers, of which this is the first.
        micro_batch: in place of the settings', since memory ran out before.
    """

    def __init__(self, run_folder: str) -> None:
        self.run_folder, self.ranks, self.peers = Path(run_folder), RankGroup(), Peers()
        self.micro_batch: int | None = None

    @abstractmethod
    def trainer(self, job: Job) -> AnyTrainer:
        """Of a job, from step 0."""

    @abstractmethod
    def to_rung(self, trainer: Any, job: Job, work: RungWork) -> Report:
        """May be called again after an OSError, and then goes on with what is left to do."""

    def run(self, job: Job) -> Iterator[WorkerWord]:
        """Yields a report at each rung; goes on from the state that an interrupted run left, or says that it
        cannot.

        The state is on the disk before the report is out, so a rung may be reported twice, with equal
        scores, but never lost. Where storage is full or away it says that it is waiting, and tries again.

        Raises:
            Diverged: when the loss or the scores stop being numbers.
            OSError: when storage did not come back while it waited.
        """
        said: list[str] = []  # since the last word
        with closing(Checkpoints(self.folder(job))) as states:
            trainer, unusable = yield from patiently(partial(self._begin, job, states))
            if unusable is not None:
                yield StartsAgain(unusable)
            else:
                said += [f"{line}; going on from step {trainer.step}" for line in states.damaged]
            self.peers.begin(job, trainer.step, self.micro_batch)
            watched = Watched(lambda: loop_of(trainer), states.folder.parent, said.append)
            watched.begin(trainer.step)
            for step in job.rungs:
                if step >= trainer.step:
                    work = RungWork(trainer.step, step, {}, states, watched)
                    loop_of(trainer).say = said.append
                    try:
                        report = yield from patiently(partial(self.to_rung, trainer, job, work))
                    except Exception:
                        yield from told(said)
                        raise
                    yield from told(said)
                    yield report

    def folder(self, job: Job) -> Path:
        return job_folder(self.run_folder, job.key)

    def _begin(self, job: Job, states: Checkpoints) -> tuple[AnyTrainer, str | None]:
        """The training where it was left, or from step 0 and why the state that there is is of no use."""
        folder = make_job_folder(self.run_folder, job.key)
        remove_unfinished(folder)
        write_whole(folder / ARCHITECTURE_NAME, job.architecture.to_yaml())
        trainer = self.trainer(job)
        try:
            state = states.latest()
            if state is not None:
                trainer.restore(state, str(states.folder))
        except InputError as error:  # torn by a power cut, or of an earlier version: trained again
            if storage_error(error):
                raise
            return self.trainer(job), str(error)
        return trainer, None

    def train(self, trainer: AnyTrainer, job: Job, work: RungWork) -> TrainingState:
        """To a rung, by all workers."""
        with measured_seconds(work.seconds, "training"):
            self.peers.train_to(work.to_step)
            try:
                trainer.train_to(work.to_step, self._saving(trainer, job, work))
            except Diverged:
                work.watched.leave()
                raise
            state = trainer.state()
            self.peers.wait()
        return state

    def _saving(self, trainer: AnyTrainer, job: Job, work: RungWork) -> Callable[[int, float], None]:
        """After each step: a state now and then, so that a long way to a rung need not be gone in one go."""
        last, ranks = time.monotonic(), self.ranks
        work.watched.start()
        ranks.asks = lambda: time.monotonic() - last >= SAVED_EVERY_SECONDS

        def after(step: int, loss: float) -> None:
            nonlocal last
            work.watched.step(step, loss)
            if step < work.to_step and ranks.asked:
                work.watched.tell(state := trainer.state())
                work.states.save(state, partial(self.log, job, work, step))
                last = time.monotonic()

        return after

    def log(self, job: Job, work: RungWork, step: int) -> None:
        """Who trained what: a line once a state is on the disk."""
        log_work(self.folder(job), work.from_step, step)
        work.from_step = step


class WorkerSettings(Protocol):
    """What crosses to where a worker is: plain enough to travel."""

    @property
    def run_folder(self) -> str: ...

    def worker(self) -> RungWorker: ...


def report_of(work: RungWork, scores: dict[str, float], deviations: dict[str, float]) -> Report:
    """Raises Diverged where a score is no number."""
    broken = [name for name, value in scores.items() if not np.isfinite(value)]
    if broken:
        raise Diverged(f"{', '.join(broken)} is not a number at step {work.to_step}")
    plain = {name: float(value) for name, value in scores.items()}
    return Report(work.to_step, plain, work.seconds, deviations)


@contextmanager
def measured_seconds(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

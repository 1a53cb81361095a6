"""One training run on one worker: train to each rung, generate, score, keep what it takes to go on.

Nothing here knows Ray, Optuna or Hydra: the same code runs in this process, in an actor of a cluster, or
by hand on a bare GPU machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.scorers.by_protocol import load_evaluator
from search.objectives import VALIDATION_LOSS
from search.prompts import evaluation_captions, kept_captions
from search.runs.files import (
    ARCHITECTURE_NAME,
    MODEL_NAME,
    SAMPLES_COLUMNS,
    SAMPLES_NAME,
    SAMPLES_SHOWN,
    job_folder,
    make_job_folder,
)
from search.strategy import Job, Report, SharedTraining
from search.trial_log import log_work
from search.trial_words import StartsAgain, WorkerWord, told
from space.architecture import Architecture
from space.proxy import Proxy, narrow
from space.shared.files import remove_unfinished, replacing_files
from space.shared.plain import InputError
from space.shared.retries import patiently, storage_error
from space.subnet import Subnet
from training.checkpoints import Checkpoints
from training.data.dataset import Dataset
from training.data.factory import DataSettings, load_data
from training.distributed.ranks import RankGroup
from training.failures import Diverged
from training.generation.grid import save_grid
from training.logs.watching import Watched
from training.settings import TrainingSettings
from training.state import TrainingState
from training.supernet import Round, SharedTrainer, loop_of
from training.trainer import Trainer

SAVED_EVERY_SECONDS = 600  # between rungs


@dataclass(frozen=True)
class TrialSettings:
    """What a worker needs beside the job. Folders must be reachable from every worker of a cluster."""

    run_folder: str
    evaluator_folder: str
    proxy: Proxy
    data: DataSettings
    training: TrainingSettings
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    weights: WeightsSettings = field(default_factory=WeightsSettings)
    generation_batch: int = 64


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


class TrialWorker:
    """Runs jobs, one at a time; data and evaluator are loaded once.

    Attributes:
        ranks, peers: where a trial has several workers, of which this is the first.
        micro_batch: in place of the settings', since memory ran out before.
    """

    def __init__(self, settings: TrialSettings) -> None:
        self.settings, self.ranks, self.peers = settings, RankGroup(), Peers()
        self.micro_batch: int | None = None
        self.data = load_data(settings.data)
        self.evaluator = load_evaluator(Path(settings.evaluator_folder), settings.weights, settings.compute)
        prompts = kept_captions(Path(settings.evaluator_folder)) or self.data.held_out_captions
        self.captions = evaluation_captions(prompts, self.evaluator.images)

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
        with closing(Checkpoints(job_folder(Path(self.settings.run_folder), job.key))) as states:
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
                    work = _Work(trainer.step, step, {}, states, watched)
                    loop_of(trainer).say = said.append
                    try:
                        report = yield from patiently(partial(self._to_rung, trainer, job, work))
                    except Exception:
                        yield from told(said)
                        raise
                    yield from told(said)
                    yield report

    def _begin(self, job: Job, states: Checkpoints) -> tuple[Trainer | SharedTrainer, str | None]:
        """The training where it was left, or from step 0 and why the state that there is is of no use."""
        folder = make_job_folder(Path(self.settings.run_folder), job.key)
        remove_unfinished(folder)
        (folder / ARCHITECTURE_NAME).write_text(job.architecture.to_yaml(), encoding="utf-8")
        trainer = self._trainer(job)
        try:
            state = states.latest()
            if state is not None:
                trainer.restore(state, str(states.folder))
        except InputError as error:  # torn by a power cut, or of an earlier version: trained again
            if storage_error(error):
                raise
            return self._trainer(job), str(error)
        return trainer, None

    def _trainer(self, job: Job) -> Trainer | SharedTrainer:
        return trainer_of(self.settings, self.data, job, self.ranks, self.micro_batch)

    def _to_rung(self, trainer: Trainer | SharedTrainer, job: Job, work: _Work) -> Report:
        """May be called again after an OSError, and then goes on with what is left to do."""
        if isinstance(trainer, SharedTrainer):
            assert job.shared is not None
            return self._to_shared_rung(trainer, job, job.shared, work)
        folder, seconds = job_folder(Path(self.settings.run_folder), job.key), work.seconds
        batch_size = self.settings.generation_batch
        state = self._train(trainer, folder, work)
        with _timed(seconds, "validation"):
            validation_loss = trainer.validation_loss()
        with _timed(seconds, "sampling"):
            images = self.peers.generate(trainer, self.captions, seed=job.seed, batch_size=batch_size)
        with _timed(seconds, "features"):
            scores, deviations = self.evaluator.score_and_deviations(images, self.captions)
        scores[VALIDATION_LOSS] = validation_loss
        with _timed(seconds, "writing"):
            with replacing_files(folder, last=MODEL_NAME) as own:
                save_grid(images[:SAMPLES_SHOWN], own / SAMPLES_NAME, columns=SAMPLES_COLUMNS, enlarge=2)
                trainer.save_weights(own)
            work.watched.tell(state, scores, folder / SAMPLES_NAME)
            work.states.write(state)
            _log(folder, work, work.to_step)
        broken = [name for name, value in scores.items() if not np.isfinite(value)]
        if broken:
            raise Diverged(f"{', '.join(broken)} is not a number at step {work.to_step}")
        plain = {name: float(value) for name, value in scores.items()}
        return Report(work.to_step, plain, seconds, deviations)

    def _train(self, trainer: Trainer | SharedTrainer, folder: Path, work: _Work) -> TrainingState:
        """To a rung, by all workers."""
        with _timed(work.seconds, "training"):
            self.peers.train_to(work.to_step)
            try:
                trainer.train_to(work.to_step, _saving(trainer, self.ranks, folder, work))
            except Diverged:
                work.watched.leave()
                raise
            state = trainer.state()
            self.peers.wait()
        return state

    def _to_shared_rung(
        self, trainer: SharedTrainer, job: Job, shared: SharedTraining, work: _Work
    ) -> Report:
        """Its score is the first candidate's; at the last rung all candidates have theirs."""
        folder, seconds = job_folder(Path(self.settings.run_folder), job.key), work.seconds
        state = self._train(trainer, folder, work)
        with _timed(seconds, "writing"):
            work.watched.tell(state)
            work.states.write(state)
            _log(folder, work, work.to_step)
        candidates = shared.candidates if work.to_step == job.rungs[-1] else shared.candidates[:1]
        with _timed(seconds, "inherited scores"):
            inherited = tuple(
                self._inherited(trainer, candidate, job, shared.images) for candidate in candidates
            )
        if not any(inherited):
            raise Diverged(f"no inherited score is a number at step {work.to_step}")
        first = next(scores for scores in inherited if scores)
        return Report(
            work.to_step, first, seconds, inherited=inherited if work.to_step == job.rungs[-1] else ()
        )

    def _inherited(
        self, trainer: SharedTrainer, candidate: Architecture | Subnet, job: Job, images: bool
    ) -> dict[str, float]:
        """What is no number is left out."""
        trainer.inherit(candidate)
        scores = {VALIDATION_LOSS: trainer.validation_loss()}
        if images and np.isfinite(scores[VALIDATION_LOSS]):
            made = trainer.generate(self.captions, seed=job.seed, batch_size=self.settings.generation_batch)
            scores |= self.evaluator.score(made, self.captions)
        return {name: float(value) for name, value in scores.items() if np.isfinite(value)}


def trainer_of(
    settings: TrialSettings, data: Dataset, job: Job, ranks: RankGroup, micro_batch: int | None = None
) -> Trainer | SharedTrainer:
    """Of a job, from step 0. With a `micro_batch` in place of the settings', since memory ran out before."""
    proxy, shared, training = settings.proxy, job.shared, settings.training
    if micro_batch is not None:
        training = replace(training, micro_batch=micro_batch)
    if shared is None:
        training = replace(training, steps=job.rungs[-1])
        return Trainer(narrow(job.architecture, proxy), data, training, seed=job.seed, ranks=ranks)
    training = replace(
        training, steps=shared.steps, decay=shared.decay, validation_images=shared.validation_images
    )
    rounds = [Round(*each) for each in shared.rounds]
    return SharedTrainer(rounds, proxy, data, training, seed=job.seed, ranks=ranks)


@dataclass
class _Work:
    """From one rung to the next. `seconds` grow with every attempt, `from_step` with every state saved."""

    from_step: int
    to_step: int
    seconds: dict[str, float]
    states: Checkpoints
    watched: Watched


def _saving(
    trainer: Trainer | SharedTrainer, ranks: RankGroup, folder: Path, work: _Work
) -> Callable[[int, float], None]:
    """After each step: a state now and then, so that a long way to a rung need not be gone in one go."""
    last = time.monotonic()
    work.watched.start()
    ranks.asks = lambda: time.monotonic() - last >= SAVED_EVERY_SECONDS

    def after(step: int, loss: float) -> None:
        nonlocal last
        work.watched.step(step, loss)
        if step < work.to_step and ranks.asked:
            work.watched.tell(state := trainer.state())
            work.states.save(state, partial(_log, folder, work, step))
            last = time.monotonic()

    return after


def _log(folder: Path, work: _Work, step: int) -> None:
    """Who trained what: a line once a state is on the disk."""
    log_work(folder, work.from_step, step)
    work.from_step = step


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

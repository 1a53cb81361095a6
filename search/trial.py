"""One candidate on one worker: train to each rung, generate, score, keep what it takes to go on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.scorers.by_protocol import load_evaluator
from search.objectives import VALIDATION_LOSS
from search.prompts import evaluation_captions, kept_captions
from search.runs.files import MODEL_NAME, SAMPLES_COLUMNS, SAMPLES_NAME, SAMPLES_SHOWN
from search.strategy import Job, Report, SharedTraining
from search.worker import RungWork, RungWorker, measured_seconds, report_of
from space.architecture import Architecture
from space.candidates import as_unet
from space.proxy import Proxy, narrow
from space.shared.files import replacing_files
from space.subnet import Subnet
from training.data.dataset import Dataset
from training.data.factory import DataSettings, load_data
from training.distributed.ranks import RankGroup
from training.failures import Diverged
from training.generation.grid import save_grid
from training.settings import TrainingSettings
from training.supernet import Round, SharedTrainer
from training.trainer import Trainer


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

    def worker(self) -> TrialWorker:
        return TrialWorker(self)


class TrialWorker(RungWorker):
    """Of UNets; data and evaluator are loaded once."""

    def __init__(self, settings: TrialSettings) -> None:
        super().__init__(settings.run_folder)
        self.settings, self.data = settings, load_data(settings.data)
        self.evaluator = load_evaluator(Path(settings.evaluator_folder), settings.weights, settings.compute)
        prompts = kept_captions(Path(settings.evaluator_folder)) or self.data.held_out_captions
        self.captions = evaluation_captions(prompts, self.evaluator.images)

    def trainer(self, job: Job) -> Trainer | SharedTrainer:
        return trainer_of(self.settings, self.data, job, self.ranks, self.micro_batch)

    def to_rung(self, trainer: Trainer | SharedTrainer, job: Job, work: RungWork) -> Report:
        if isinstance(trainer, SharedTrainer):
            assert job.shared is not None
            return self._to_shared_rung(trainer, job, job.shared, work)
        folder, seconds = self.folder(job), work.seconds
        state = self.train(trainer, job, work)
        with measured_seconds(seconds, "validation"):
            validation_loss = trainer.validation_loss()
        with measured_seconds(seconds, "sampling"):
            batch_size = self.settings.generation_batch
            images = self.peers.generate(trainer, self.captions, seed=job.seed, batch_size=batch_size)
        with measured_seconds(seconds, "features"):
            scores, deviations = self.evaluator.score_and_deviations(images, self.captions)
        scores[VALIDATION_LOSS] = validation_loss
        with measured_seconds(seconds, "writing"):
            with replacing_files(folder, last=MODEL_NAME) as own:
                save_grid(images[:SAMPLES_SHOWN], own / SAMPLES_NAME, columns=SAMPLES_COLUMNS, enlarge=2)
                trainer.save_weights(own)
            work.watched.tell(state, scores, folder / SAMPLES_NAME)
            work.states.write(state)
            self.log(job, work, work.to_step)
        return report_of(work, scores, deviations)

    def _to_shared_rung(
        self, trainer: SharedTrainer, job: Job, shared: SharedTraining, work: RungWork
    ) -> Report:
        """Its score is the first candidate's; at the last rung all candidates have theirs."""
        seconds = work.seconds
        state = self.train(trainer, job, work)
        with measured_seconds(seconds, "writing"):
            work.watched.tell(state)
            work.states.write(state)
            self.log(job, work, work.to_step)
        candidates = shared.candidates if work.to_step == job.rungs[-1] else shared.candidates[:1]
        with measured_seconds(seconds, "inherited scores"):
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
        network = narrow(as_unet(job.architecture), proxy)
        return Trainer(network, data, training, seed=job.seed, ranks=ranks)
    training = replace(
        training, steps=shared.steps, decay=shared.decay, validation_images=shared.validation_images
    )
    rounds = [Round(*each) for each in shared.rounds]
    return SharedTrainer(rounds, proxy, data, training, seed=job.seed, ranks=ranks)

"""One decoder on one worker: trained to each rung beside the encoder that stays, and judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from evaluators.metrics.reconstruction import psnr
from evaluators.networks.perceptual import PerceptualName
from evaluators.networks.weights import WeightsSettings
from search.decoders.encoder import perceptual_for
from search.decoders.settings import PSNR
from search.objectives import VALIDATION_LOSS
from search.runs.files import SAMPLES_COLUMNS, SAMPLES_NAME
from search.strategy import Job, Report
from search.worker import RungWork, RungWorker, measured_seconds, report_of
from space.autoencoder import Autoencoder
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.autoencoder_files import read_autoencoder
from space.shared.files import replacing_files
from space.shared.plain import InputError
from training.autoencoder import (
    AUTOENCODER_RECORD,
    MAGNIFIED,
    AutoencoderTrainer,
    as_pixels,
    reconstructed,
)
from training.data.factory import DataSettings, load_data
from training.devices import choose_device
from training.generation.grid import save_grid
from training.objectives.reconstruction import ReconstructionSettings

MOST_PSNR = 100.0  # of an image that came back exactly


@dataclass(frozen=True)
class DecoderTrialSettings:
    """What a worker needs beside the job; `autoencoder` is the folder whose encoder stays."""

    run_folder: str
    autoencoder: str
    data: DataSettings
    reconstruction: ReconstructionSettings
    images: int
    perceptual: PerceptualName = "random"
    weights: WeightsSettings = field(default_factory=WeightsSettings)

    def worker(self) -> DecoderWorker:
        return DecoderWorker(self)


class DecoderWorker(RungWorker):
    """Of decoders; data, encoder and the images to be judged by are loaded once."""

    def __init__(self, settings: DecoderTrialSettings) -> None:
        super().__init__(settings.run_folder)
        self.settings, self.data = settings, load_data(settings.data)
        self.start = read_autoencoder(Path(settings.autoencoder))
        self.device = choose_device(settings.reconstruction.device)
        self.perceptual = perceptual_for(
            settings.perceptual, settings.reconstruction.perceptual, settings.weights, str(self.device)
        )
        self.images = self.data.held_out(range(min(settings.images, len(self.data.held_out_captions))))[0]
        self.originals = as_pixels(self.images)

    def trainer(self, job: Job) -> AutoencoderTrainer:
        if not isinstance(job.architecture, Autoencoder):
            raise InputError(f"{job.name}: is no autoencoder, and this worker trains decoders")
        return self.decoder_trainer(job.architecture, job.seed)

    def decoder_trainer(self, autoencoder: Autoencoder, seed: int) -> AutoencoderTrainer:
        """From step 0: the encoder that stays, and a decoder that begins at random."""
        settings = self.settings.reconstruction
        if self.micro_batch is not None:
            settings = replace(settings, micro_batch=self.micro_batch)
        return AutoencoderTrainer(
            autoencoder,
            self.data,
            settings,
            seed=seed,
            perceptual=self.perceptual,
            start=self.start,
            start_name="the autoencoder whose encoder stays",
            new_decoder=True,
        )

    def to_rung(self, trainer: AutoencoderTrainer, job: Job, work: RungWork) -> Report:
        folder, seconds = self.folder(job), work.seconds
        state = self.train(trainer, job, work)
        with measured_seconds(seconds, "validation"):
            validation_loss = trainer.validation_loss()
        with measured_seconds(seconds, "reconstruction"):
            given, scores, deviations = self.judged(trainer.averaged)
        scores[VALIDATION_LOSS] = validation_loss
        with measured_seconds(seconds, "writing"):
            with replacing_files(folder, last=AUTOENCODER_RECORD) as own:
                trainer.save_weights(own)
                _save_rows(self.originals[:SAMPLES_COLUMNS], given[:SAMPLES_COLUMNS], own / SAMPLES_NAME)
            work.watched.tell(state, scores, folder / SAMPLES_NAME)
            work.states.write(state)
            self.log(job, work, work.to_step)
        return report_of(work, scores, deviations)

    def judged(self, network: AutoencoderNetwork) -> tuple[np.ndarray, dict[str, float], dict[str, float]]:
        """What comes back of the images, (N, H, W, 3) uint8; the mean PSNR; its deviation over resamples."""
        settings, device = self.settings.reconstruction, self.device
        with settings.of_the_loop().autocast(device):
            made = reconstructed(network.to(device), self.images, device, settings.batch_size)
        given = as_pixels(made)
        each = np.minimum(psnr(self.originals, given), MOST_PSNR)
        return given, {PSNR: float(each.mean())}, {PSNR: float(each.std(ddof=1) / len(each) ** 0.5)}


def _save_rows(images: np.ndarray, given: np.ndarray, path: Path) -> None:
    """(N, H, W, 3) uint8 twice as rows: reconstructions, originals, differences magnified around grey."""
    difference = 128 + (given.astype(np.int64) - images) * MAGNIFIED
    rows = [given, images, difference.clip(0, 255).astype(np.uint8)]
    save_grid(np.concatenate(rows), path, columns=len(images), enlarge=2)

"""A search over the decoders of one encoder, as `search.run` drives it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.backends.cluster import check_devices
from search.checks import check_choosing
from search.decoders.encoder import keep_encoder
from search.decoders.settings import PSNR, DecoderSearchSettings, claim_decoder_folder
from search.decoders.trial import DecoderTrialSettings, DecoderWorker
from search.display import Display
from search.latency import latency_notes, recorded_lists
from search.other_side import image_notes
from search.preparation import absolute_weights, data_in_words, header_of_search, phases_of
from search.runs.compatibility import DATA_DIGEST
from search.runs.files import ENCODER_FOLDER, EVALUATOR_FOLDER, REAL_NAME, SAMPLES_COLUMNS
from search.runs.header import DECODERS, SEARCHED
from search.runs.record import Record
from search.strategies.phases import Phases
from search.subject import Prepared
from space.architecture import compact
from space.autoencoder import Autoencoder
from space.prices.candidates import candidate_price
from space.shared.plain import InputError
from training.autoencoder import check_data, encoder_digest
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.generation.grid import save_grid


class DecoderSearch:
    """A `search.subject.Subject`."""

    def __init__(self, settings: DecoderSearchSettings) -> None:
        self.settings = settings

    def check(self) -> Dataset:
        settings = self.settings
        check_devices(settings.cluster)
        if settings.cluster.workers_per_trial > 1:
            raise InputError(
                f"cluster.workers_per_trial: {settings.cluster.workers_per_trial}; a decoder is trained by "
                "one worker; allowed: 1"
            )
        references = settings.confirmation.references
        check_choosing(settings, {"enqueue": settings.enqueue, "confirmation.references": references})
        data = load_data(settings.data)
        if len(data.held_out_captions) < 2:
            raise InputError("data: one image is held out; needed: 2 or more, to judge decoders by")
        check_data(settings.space.fixed, data, settings.of_trials)
        return data

    def claim(self, data: Dataset) -> Path:
        return claim_decoder_folder(self.settings)

    def header(self, folder: Path, overrides: list[str]) -> dict[str, Any]:
        settings = self.settings
        own = {SEARCHED: DECODERS, "references": list(settings.confirmation.references)}
        header = header_of_search(settings, settings.data, settings.of_trials, folder, overrides, own)
        return header | recorded_lists(settings.budget)

    def prepare(self, data: Dataset, folder: Path, display: Display) -> Prepared:
        display.message(data_in_words(data))
        evaluator = folder / EVALUATOR_FOLDER
        keep_encoder(self.settings, data, evaluator / ENCODER_FOLDER, display.message)
        given = self._worker_settings(folder, evaluator / ENCODER_FOLDER)
        worker = given.worker()
        self._keep_originals(worker, evaluator / REAL_NAME)
        _, scores, _ = worker.judged(worker.start.network)
        display.message(
            f"the autoencoder as it was trained: PSNR {scores[PSNR]:.2f}, by a decoder of its own"
        )
        protocol = _protocol(worker, data)
        name = hashlib.sha256(compact(protocol).encode()).hexdigest()[:12]
        return Prepared(given, protocol, name, lambda: self._start_scores(worker))

    def notes(self) -> list[str]:
        settings, notes = self.settings, latency_notes(self.settings.budget)
        notes += image_notes(settings.budget, settings.space, resumed=settings.resume is not None)
        if settings.stopping.name != "none" and len(settings.rungs) == 1:
            notes.append(f"stopping={settings.stopping.name} has no effect: one rung is the end of a trial")
        return notes

    def begin_session(self, record: Record, display: Display) -> Mapping[str, Any]:
        return {}

    def phases(self, record: Record) -> Phases:
        settings = self.settings
        return phases_of(settings, settings.confirmation, record, settings.cost_score)

    def _worker_settings(self, folder: Path, autoencoder: Path) -> DecoderTrialSettings:
        """Every path is absolute, since Ray's workers start in folders of their own."""
        settings = self.settings
        return DecoderTrialSettings(
            run_folder=str(folder.resolve()),
            autoencoder=str(autoencoder.resolve()),
            data=settings.data.absolute(),
            reconstruction=settings.of_trials,
            images=settings.scored_images,
            perceptual=settings.perceptual,
            weights=absolute_weights(settings.weights),
        )

    def _keep_originals(self, worker: DecoderWorker, path: Path) -> None:
        if not path.is_file():
            save_grid(worker.originals[:SAMPLES_COLUMNS], path, columns=SAMPLES_COLUMNS, enlarge=2)

    def _start_scores(self, worker: DecoderWorker) -> dict[str, float]:
        """Of the cheapest decoder before its first step: where every curve begins."""
        smallest: Autoencoder = self.settings.space.smallest(lambda a: candidate_price(a).macs)
        _, scores, _ = worker.judged(worker.decoder_trainer(smallest, self.settings.seed).averaged)
        return scores | self.settings.cost_score(smallest)


def _protocol(worker: DecoderWorker, data: Dataset) -> dict[str, Any]:
    """All that makes a score, as plain data."""
    perceptual = worker.perceptual
    return {
        "name": "reconstruction",
        "score": "mean PSNR of held-out images on 8 bits, by the mean of each latent",
        "images": len(worker.originals),
        "size_px": data.image_size_px,
        DATA_DIGEST: data.digest,
        "encoder": encoder_digest(worker.start.network.encoder),
        "perceptual": "none" if perceptual is None else f"{perceptual.name}, {perceptual.digest}",
    }

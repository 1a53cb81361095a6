"""A search over UNets, as `search.run` drives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from search.checks import check, compared_with
from search.display import Display
from search.formats import counted
from search.idle import idle_notes, nobody_learns
from search.latency import latency_notes, latency_score
from search.other_side import image_notes
from search.preparation import evaluator_of, header_of, phases_of, real_scores, start_scores, worker_settings
from search.runs.compatibility import abridged
from search.runs.elsewhere import elsewhere_words, take_elsewhere
from search.runs.files import EVALUATOR_FOLDER
from search.runs.folder import claim_folder, moved_places
from search.runs.prior import take_prior, take_recorded
from search.runs.record import Record
from search.runs.teachers import known_references, reference_note
from search.settings import SearchSettings
from search.strategies.phases import Phases
from search.subject import Prepared
from training.data.dataset import Dataset


class UnetSearch:
    """A `search.subject.Subject`."""

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings

    def check(self) -> Dataset:
        return check(self.settings)

    def claim(self, data: Dataset) -> Path:
        return claim_folder(self.settings, data.digest)

    def header(self, folder: Path, overrides: list[str]) -> dict[str, Any]:
        return header_of(self.settings, folder, overrides)

    def prepare(self, data: Dataset, folder: Path, display: Display) -> Prepared:
        evaluator = evaluator_of(self.settings, data, folder, display)
        return Prepared(
            worker_settings(self.settings, folder, folder / EVALUATOR_FOLDER),
            evaluator.protocol,
            evaluator.protocol_id,
            lambda: start_scores(self.settings, data, evaluator, display),
            lambda: real_scores(self.settings, data, evaluator, display),
        )

    def notes(self) -> list[str]:
        settings = self.settings
        of_image = image_notes(settings.budget, settings.space, resumed=settings.resume is not None)
        return [*latency_notes(settings.budget), *of_image, *idle_notes(settings)]

    def begin_session(self, record: Record, display: Display) -> Mapping[str, Any]:
        settings, references = self.settings, compared_with(self.settings)
        if not record.history.sessions:
            take_prior(record, settings.prior)
            if settings.recorded and (differences := take_recorded(record, references.values())):
                display.message(f"the recorded networks say nothing here: {'; '.join(abridged(differences))}")
            take_elsewhere(record, settings.prior_elsewhere, settings.space, references.values())
        if record.history.prior:
            runs = Counter(trial.source for trial in record.history.prior)
            known = ", ".join(f"{counted(trials, 'trial')} of {run}" for run, trials in runs.items())
            deaf = nobody_learns(settings)
            display.message(f"prior knowledge: {known}{f'; of no use: {deaf}' if deaf else ''}")
        if elsewhere := elsewhere_words(record.history):
            display.message(f"of other protocols, to the sampler alone: {elsewhere}")
        heard = [*record.history.prior, *(trial for trial, _, _ in record.history.elsewhere)]
        if note := reference_note(known_references(heard, references.values())):
            display.message(f"prior knowledge: {note}")
        return moved_places(settings)

    def phases(self, record: Record) -> Phases:
        settings = self.settings
        return phases_of(settings, settings.confirmation, record, partial(latency_score, settings.budget))

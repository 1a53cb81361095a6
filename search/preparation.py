"""What a search needs before its first trial: evaluator, strategy, what workers and record receive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.networks.weights import WeightsSettings
from evaluators.scorers.scorer import Scorer
from search.checks import Choosing
from search.confirmation.confirmation import Confirmation, ConfirmationSettings
from search.display import Display
from search.latency import latency_score, recorded_lists
from search.named import named_candidate
from search.objectives import VALIDATION_LOSS, known_in_words, objectives_to_plain
from search.prompts import kept_captions
from search.runs.compatibility import READS
from search.runs.files import (
    ALL_PROMPTS_NAME,
    EVALUATOR_FOLDER,
    PROMPTS_NAME,
    REAL_NAME,
    SAMPLES_COLUMNS,
    SAMPLES_SHOWN,
)
from search.runs.header import noise_of, noise_of_rule
from search.runs.moved import reads_of
from search.runs.record import MemoryRecord, Record
from search.samplers.factory import make_sampler
from search.scoring.evaluator import describe, prepare_evaluator
from search.scoring.inputs import as_uint8, scored_captions
from search.settings import SearchSettings
from search.statistics.noise import Noise, noise_to_plain
from search.stopping.factory import make_rule
from search.strategies.base import SearchTask
from search.strategies.phases import Phases
from search.strategy import Strategy
from search.trial import TrialSettings
from space.candidates import Candidate
from space.prices.macs import price
from space.proxy import narrow
from space.shared.files import write_whole
from space.shared.plain import to_plain
from training.data.dataset import Dataset
from training.data.factory import DataSettings
from training.generation.grid import save_grid
from training.hub import is_address
from training.trainer import Trainer

_READ_AT_ONCE = 64  # real images read at once


def evaluator_of(settings: SearchSettings, data: Dataset, folder: Path, display: Display) -> Scorer:
    """The evaluator; what it is made of lies in the run folder, for the workers."""
    display.message(data_in_words(data))
    own = folder / EVALUATOR_FOLDER
    evaluator = prepare_evaluator(settings, own, data, display.message)
    captions = _keep_captions(settings, data, own)
    for line in describe(evaluator, settings, data, captions):
        display.message(line)
    if not (own / PROMPTS_NAME).is_file():
        keep_prompts(own, captions[:SAMPLES_SHOWN], data if settings.scoring.captions is None else None)
    return evaluator


def _keep_captions(settings: SearchSettings, data: Dataset, folder: Path) -> list[str]:
    """The prompts; those of a file stay in the run, for its workers and for when it goes on."""
    if (kept := kept_captions(folder)) is not None:
        return kept
    captions = scored_captions(settings, data)
    if settings.scoring.captions is not None:
        write_whole(folder / ALL_PROMPTS_NAME, json.dumps(captions, ensure_ascii=False))
    return captions


def keep_prompts(folder: Path, prompts: list[str], data: Dataset | None) -> None:
    """Those of the first samples; where they are captions of held-out images, these, laid out as samples."""
    if data is not None:
        shown = [index % len(data.held_out_captions) for index in range(len(prompts))]
        images, _ = as_uint8(data.held_out(shown))
        save_grid(images, folder / REAL_NAME, columns=SAMPLES_COLUMNS, enlarge=2)
    write_whole(folder / PROMPTS_NAME, json.dumps(prompts, ensure_ascii=False))


def data_in_words(data: Dataset) -> str:
    captions = len(data.train_captions)
    return "".join(
        (
            f"data {data.name}: {data.train_images} images to train on",
            f" with {captions} captions" if captions > data.train_images else "",
            f", {len(data.held_out_captions)} held out, {data.image_size_px} px",
            *(f"; {line}" for line in data.notes()),
        )
    )


def worker_settings(settings: SearchSettings, folder: Path, evaluator_folder: Path) -> TrialSettings:
    """What workers receive. Every path is absolute, since Ray's workers start in folders of their own."""

    def absolute(path: str | None) -> str | None:
        return path if path is None or is_address(path) else str(Path(path).expanduser().resolve())

    training = settings.training
    return TrialSettings(
        run_folder=str(folder.resolve()),
        evaluator_folder=str(evaluator_folder.resolve()),
        proxy=settings.proxy,
        data=settings.data.absolute(),
        training=replace(
            training,
            latents=replace(training.latents, folder=absolute(training.latents.folder)),
            text=replace(training.text, folder=absolute(training.text.folder)),
        ),
        compute=settings.compute,
        weights=absolute_weights(settings.weights),
    )


def absolute_weights(weights: WeightsSettings) -> WeightsSettings:
    """With whole paths, for workers that start in folders of their own."""
    cache = weights.cache_folder
    return replace(
        weights,
        cache_folder=cache and str(Path(cache).expanduser().resolve()),
        files={name: str(Path(file).expanduser().resolve()) for name, file in weights.files.items()},
    )


def start_scores(
    settings: SearchSettings, data: Dataset, evaluator: Scorer, display: Display
) -> dict[str, float]:
    """Scores of an untrained network: its output is zero whatever the architecture, so one stands for all.
    Its validation loss is among them where that is an objective."""
    smallest = narrow(settings.space.smallest(lambda a: price(a).macs), settings.proxy)
    trainer = Trainer(smallest, data, settings.training, seed=settings.seed)
    for line in trainer.unread_text():
        display.message(line)
    captions = scored_captions(settings, data)
    scores = evaluator.score(trainer.generate(captions, seed=settings.seed), captions)
    if any(objective.name == VALIDATION_LOSS for objective in settings.objectives):
        scores[VALIDATION_LOSS] = trainer.validation_loss()
    scores |= latency_score(settings.budget, settings.space.smallest(lambda a: price(a).macs))
    return {name: float(score) for name, score in scores.items()}


def real_scores(
    settings: SearchSettings, data: Dataset, evaluator: Scorer, display: Display
) -> dict[str, float]:
    """Scores of real images with their captions, as many as a score is of, evenly spread over the training
    split: beside them a trial's scores are read. None where the split has fewer."""
    count = evaluator.images
    if data.train_images < count:
        return {}
    places = np.linspace(0, data.train_images - 1, count).round().astype(int)
    batches = [
        as_uint8(data.one_caption_each(part.tolist()))
        for part in np.array_split(places, -(-count // _READ_AT_ONCE))
    ]
    captions = [caption for _, texts in batches for caption in texts]
    found = evaluator.score(np.concatenate([images for images, _ in batches]), captions)
    told = known_in_words(settings.objectives, found)
    display.message(f"real images, {count} of the training split with their captions: {told}")
    return {name: float(score) for name, score in found.items()}


def header_of(settings: SearchSettings, folder: Path, overrides: list[str]) -> dict[str, Any]:
    reads, noise = reads_of(settings), noise_to_plain(settings.noise)
    own = {"noise": noise, "references": list(settings.confirmation.references)}
    header = header_of_search(settings, settings.data, settings.training, folder, overrides, own)
    return header | ({READS: reads} if reads else {}) | recorded_lists(settings.budget)


def header_of_search(
    settings: Choosing,
    data: DataSettings,
    training: Any,
    folder: Path,
    overrides: list[str],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """What every record begins with; `training` is that of trials, `own` what one search says beside it."""
    return {
        "name": folder.name,
        "overrides": overrides,
        "seed": settings.seed,
        "trials": settings.trials,
        "rungs": list(settings.rungs),
        "objectives": objectives_to_plain(settings.objectives),
        "budget": settings.budget.to_plain(),
        "space": to_plain(settings.space),
        "proxy": to_plain(settings.proxy),
        "data": to_plain(data),
        "training": to_plain(training),
        "strategy": to_plain(settings.strategy),
        "sampler": to_plain(settings.sampler),
        "stopping": to_plain(settings.stopping),
        **own,
    }


def search_strategy(settings: Choosing, record: MemoryRecord, noise: Noise) -> Strategy:
    """The search that the settings ask for, on a record that may hold a part of it already. `noise` is what
    its stopping rule goes by (`search.runs.header.noise_of_rule`)."""
    task = SearchTask(
        space=settings.space,
        budget=settings.budget,
        proxy=settings.proxy,
        sampler=make_sampler(settings.sampler, settings.seed),
        rule=make_rule(settings.stopping, noise),
        objectives=settings.objectives,
        rungs=settings.rungs,
        trials=settings.trials,
        seed=settings.seed,
        enqueued=tuple(named_candidate(settings.space, name, settings.presets) for name in settings.enqueue),
        presets=settings.presets,
    )
    return settings.strategy.make(record, task)


def phases_of(
    settings: Choosing,
    confirmed_by: ConfirmationSettings,
    record: Record,
    scores: Callable[[Candidate], dict[str, float]],
) -> Phases:
    """The search, and then the race of its best; `scores` of a network need no training."""
    references = {
        Path(name).stem: named_candidate(settings.space, name, settings.presets)
        for name in confirmed_by.references
    }

    def confirmation() -> Strategy:
        noise = noise_of(record.history)
        assert noise is not None
        return Confirmation(
            record,
            confirmed_by,
            references,
            objectives=settings.objectives,
            noise=noise,
            proxy=settings.proxy,
            rungs=settings.rungs,
            seed=settings.seed,
        )

    search = search_strategy(settings, record, noise_of_rule(record.history))
    return Phases(search, confirmation, scores=scores, record=record)

"""A search from its settings to its report: what the command line and a notebook both call."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from evaluators.scorers.scorer import Scorer
from search.confirmation.confirmation import Confirmation
from search.custom import keep_custom
from search.display import Display, make_display
from search.formats import counted
from search.plan import check, named_architecture
from search.runs.compatibility import abridged
from search.runs.files import BEST_NAME, EVALUATOR_FOLDER, PROVENANCE_NAME
from search.runs.folder import begin_record, claim_folder
from search.runs.prior import take_prior, take_recorded
from search.runs.provenance import provenance
from search.runs.record import History, MemoryRecord, Record
from search.runs.results import Listener, Results
from search.samplers.factory import make_sampler
from search.scoring.evaluator import describe, prepare_evaluator
from search.scoring.inputs import scored_captions
from search.settings import SearchSettings
from search.stopping.factory import make_rule
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategies.phases import Phases
from search.strategy import Strategy
from search.trial import TrialSettings
from space.architecture import Architecture
from space.prices.macs import price
from space.proxy import narrow
from space.shared.files import write_whole
from space.shared.plain import InputError, to_plain
from space.shared.retries import StorageAway, going_on, reason_of, storage_error
from training.data import Dataset
from training.folder import named
from training.loop import Trainer


@dataclass(frozen=True)
class RunResult:
    """Where a run is and what it says."""

    folder: Path
    history: History
    report: Path | None
    interrupted: bool

    @property
    def best(self) -> Architecture | None:
        """The winner, also in best.yaml; None if no trial completed."""
        path = self.folder / BEST_NAME
        return Architecture.load(path) if path.is_file() else None


def run_search(
    settings: SearchSettings, overrides: list[str] | None = None, listeners: Sequence[Listener] = ()
) -> RunResult:
    """Search and confirm.

    Args:
        overrides: the words that made the settings, kept for resuming.
        listeners: what is made of the record while it grows (`analysis.live.STANDARD`: table, report, study).

    Raises:
        InputError: before anything is started, for settings that cannot work.
        StorageAway: storage was full or away for longer than a search waits; it can be gone on with.
    """
    data = check(settings)
    folder = claim_folder(settings)
    record = Record(folder)
    try:
        begin_record(settings, folder, record, _header(settings, folder, overrides or []))
        with make_display(settings.trials, settings.objectives) as display:
            record.announce = display.message
            try:
                return _run(settings, data, folder, record, display, listeners)
            except KeyboardInterrupt:  # before the first trial: there is nothing to report
                display.message(f"interrupted; go on with: python -m search resume={folder}")
                raise
    except Exception as error:
        trouble = storage_error(error)
        if trouble is None or isinstance(error, InputError):
            raise
        raise StorageAway(f"{reason_of(trouble)}; {going_on(folder)}") from None
    finally:
        record.close()


def _run(
    settings: SearchSettings,
    data: Dataset,
    folder: Path,
    record: Record,
    display: Display,
    listeners: Sequence[Listener],
) -> RunResult:
    began = time.monotonic()
    evaluator = _prepare(settings, data, folder, display)
    worker = worker_settings(settings, folder, folder / EVALUATOR_FOLDER)
    made_by = {"protocol": evaluator.protocol, "protocol_id": evaluator.protocol_id}
    if not record.history.start_scores:
        record.append("start", scores=_start_scores(settings, data, evaluator), **made_by)
    if not (folder / PROVENANCE_NAME).is_file():
        write_whole(folder / PROVENANCE_NAME, json.dumps(provenance() | made_by, indent=1))
    if not record.history.sessions:
        take_prior(record, settings.prior)
        if settings.recorded and (differences := take_recorded(record)):
            display.message(f"the recorded networks say nothing here: {'; '.join(abridged(differences))}")
    if record.history.prior:
        runs = Counter(trial.source for trial in record.history.prior)
        known = ", ".join(f"{counted(trials, 'trial')} of {run}" for run, trials in runs.items())
        display.message(f"prior knowledge: {known}")
    uses = {name: getattr(getattr(settings, name), "use", None) for name in ("sampler", "stopping")}
    kept = keep_custom(folder, record.history, display.message, **uses)
    record.append("session", trials=settings.trials, backend=settings.backend, own=kept)

    strategy = _strategy(settings, record)
    results = Results(folder, record, listeners, display.message)
    record.listeners += [display.event, results.event]
    interrupted = False
    display.message(f"{folder}: prepared in {time.monotonic() - began:.0f} s")
    try:
        _drive(strategy, settings, worker, record, display)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        results.stop()
    interrupted = interrupted or not strategy.finished
    report = results.write()
    _say_what_is_left(strategy, display, folder, interrupted)
    return RunResult(folder, record.history, report, interrupted)


def _prepare(settings: SearchSettings, data: Dataset, folder: Path, display: Display) -> Scorer:
    """The evaluator; what it is made of lies in the run folder, for the workers."""
    display.message(
        f"data {data.name}: {len(data.train_captions)} pictures to train on, "
        f"{len(data.held_out_captions)} held out, {data.image_size_px} px"
        + (
            f"; left out, unreadable: {len(data.unreadable)} ({named(data.unreadable)})"
            if data.unreadable
            else ""
        )
    )
    evaluator = prepare_evaluator(settings, folder / EVALUATOR_FOLDER, data, display.message)
    for line in describe(evaluator, settings, data):
        display.message(line)
    return evaluator


def worker_settings(settings: SearchSettings, folder: Path, evaluator_folder: Path) -> TrialSettings:
    """What workers receive. Every path is absolute, since Ray's workers start in folders of their own."""

    def absolute(path: str | None) -> str | None:
        return path and str(Path(path).expanduser().resolve())

    data, training, weights = settings.data, settings.training, settings.weights
    own_captions = data.captions is not None and Path(data.captions).is_file()  # else inside data.folder
    return TrialSettings(
        run_folder=str(folder.resolve()),
        evaluator_folder=str(evaluator_folder.resolve()),
        proxy=settings.proxy,
        data=replace(
            data,
            folder=absolute(data.folder),
            captions=absolute(data.captions) if own_captions else data.captions,
        ),
        training=replace(
            training,
            latents=replace(training.latents, folder=absolute(training.latents.folder)),
            text=replace(training.text, folder=absolute(training.text.folder)),
        ),
        compute=settings.compute,
        weights=replace(
            weights,
            cache_folder=absolute(weights.cache_folder),
            files={name: str(Path(file).expanduser().resolve()) for name, file in weights.files.items()},
        ),
    )


def _start_scores(settings: SearchSettings, data: Dataset, evaluator: Scorer) -> dict[str, float]:
    """Scores of an untrained network: its output is zero whatever the architecture, so one stands for all."""
    smallest = narrow(settings.space.smallest(lambda a: price(a).macs), settings.proxy)
    trainer = Trainer(smallest, data, settings.training, seed=settings.seed)
    captions = scored_captions(settings, data)
    scores = evaluator.score(trainer.draw(captions, seed=settings.seed), captions)
    return {name: float(score) for name, score in scores.items()}


def _header(settings: SearchSettings, folder: Path, overrides: list[str]) -> dict[str, Any]:
    return {
        "name": folder.name,
        "overrides": overrides,
        "seed": settings.seed,
        "trials": settings.trials,
        "rungs": list(settings.rungs),
        "objectives": to_plain(settings.objectives),
        "budget": to_plain(settings.budget),
        "space": to_plain(settings.space),
        "proxy": to_plain(settings.proxy),
        "data": to_plain(settings.data),
        "training": to_plain(settings.training),
        "strategy": to_plain(settings.strategy),
        "sampler": to_plain(settings.sampler),
        "stopping": to_plain(settings.stopping),
        "noise": to_plain(settings.noise),
        "references": list(settings.confirmation.references),
    }


def strategy_of(settings: SearchSettings, record: MemoryRecord) -> Strategy:
    """The search that the settings ask for, on a record that may hold a part of it already."""
    task = SearchTask(
        space=settings.space,
        budget=settings.budget,
        proxy=settings.proxy,
        sampler=make_sampler(settings.sampler, settings.seed),
        rule=make_rule(settings.stopping, settings.noise),
        objectives=settings.objectives,
        rungs=settings.rungs,
        trials=settings.trials,
        seed=settings.seed,
        enqueued=tuple(named_architecture(name) for name in settings.enqueue),
    )
    return settings.strategy.make(record, task)


def _strategy(settings: SearchSettings, record: Record) -> Phases:
    references = {Path(name).stem: named_architecture(name) for name in settings.confirmation.references}

    def confirmation() -> Strategy:
        return Confirmation(
            record,
            settings.confirmation,
            references,
            objectives=settings.objectives,
            noise=settings.noise,
            proxy=settings.proxy,
            rungs=settings.rungs,
            seed=settings.seed,
        )

    return Phases(strategy_of(settings, record), confirmation)


def _drive(
    strategy: Strategy, settings: SearchSettings, worker: TrialSettings, record: Record, display: Display
) -> None:
    if strategy.finished:
        return
    if settings.backend == "inline":
        from search.backends.inline import run_inline

        run_inline(strategy, worker, display.message)
        return
    from search.backends.cluster import set_ray_environment

    set_ray_environment(settings.cluster)
    torch.set_num_threads(1)  # a Gaussian process beside the workers would fight them for their cores
    from search.backends.ray_tune import Cluster, Gauges, run_on_ray

    display.message("starting Ray ...")
    with Cluster(settings.cluster, display.message):
        gauges = Gauges(settings.objectives.fid, settings.objectives.clip)
        record.listeners.append(lambda event, history: gauges(history))
        run_on_ray(strategy, worker, settings.cluster, display.message)


def _say_what_is_left(strategy: Phases, display: Display, folder: Path, interrupted: bool) -> None:
    if interrupted:
        display.message(f"interrupted; go on with: python -m search resume={folder}")
    for phase in strategy.phases:
        if isinstance(phase, ArchitectureSearch) and phase.exhausted:
            display.message("the sampler found no further architecture that is new and fits the budget")
        if isinstance(phase, Confirmation) and phase.left_open:
            display.message(
                f"undecided so far: {', '.join(phase.left_open)}; more seeds: make confirm, or "
                f"python -m search.confirm run={folder}"
            )

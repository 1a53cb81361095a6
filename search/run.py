"""A search from its settings to its report: what the command line and a notebook both call."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from evaluators.protocol import Evaluator
from search.confirmation import Confirmation
from search.display import Display, make_display
from search.provenance import provenance
from search.ranking import best_first
from search.record import RECORD_NAME, History, Record, read_history
from search.sampler import make_sampler
from search.settings import SearchSettings, changed_fields, settings_from_plain
from search.stopping import make_rule
from search.strategy import ArchitectureSearch, Phases, Strategy
from search.trial import TrialSettings, evaluation_captions, job_folder
from space.architecture import Architecture
from space.cost import price
from space.plain import InputError, nearest, to_plain
from space.proxy import narrow
from training.data import Dataset, load_data
from training.loop import Trainer

CONFIG_NAME = "config.yaml"


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
        path = self.folder / "best.yaml"
        return Architecture.load(path) if path.is_file() else None


def run_search(settings: SearchSettings, overrides: list[str] | None = None) -> RunResult:
    """Search, confirm, report. `overrides` are the words that made the settings, kept for resuming.

    Raises:
        InputError: before anything is started, for settings that cannot work.
    """
    check(settings)
    folder = _claim_folder(settings)
    record = Record(folder)
    try:
        with make_display(settings.trials, settings.objectives) as display:
            return _run(settings, folder, record, display, overrides or [])
    finally:
        record.close()


def confirm(
    folder: Path, change: Callable[[SearchSettings], SearchSettings], overrides: list[str] | None = None
) -> RunResult:
    """Go on confirming a finished run, with the settings it was made with but for what `change` changes."""
    settings = replace(change(stored_settings(folder)), resume=str(folder))
    return run_search(settings, overrides)


# ---------------------------------------------------------------------- before the start


def check(settings: SearchSettings) -> None:
    """Refuse settings that cannot work: an impossible budget, enqueued architectures that do not fit it,
    widths that the proxy cannot divide."""
    cheapest = settings.space.smallest(lambda a: price(a).macs)
    fewest = settings.space.smallest(lambda a: price(a).parameters)
    for smallest in (cheapest, fewest):
        excess = settings.budget.excess(price(smallest))
        if excess:
            cost = price(smallest)
            raise InputError(
                f"budget: nothing of this space fits ({'; '.join(excess)}): its smallest architecture costs "
                f"{cost.parameters / 1e6:.1f} M parameters and {cost.gmacs:.1f} GMACs"
            )
    for name, values in settings.space.choices():
        if name.endswith(".channels"):
            for width in values:
                if width % settings.proxy.width_divisor:
                    raise InputError(
                        f"space.levels.{name}: {width} does not divide by proxy.width_divisor = "
                        f"{settings.proxy.width_divisor}, and rounding could make two candidates one"
                    )
    narrow(cheapest, settings.proxy)
    for name in (*settings.enqueue, *settings.confirmation.references):
        narrow(named_architecture(name), settings.proxy)
    for name in settings.enqueue:
        excess = settings.budget.excess(price(named_architecture(name)))
        if excess:
            raise InputError(f"enqueue: {name} is over budget: {'; '.join(excess)}")


def named_architecture(name: str) -> Architecture:
    """A preset of conf/arch by name, or a YAML file by path."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Architecture.load(name)
    presets = {
        entry.name.removesuffix(".yaml"): entry
        for entry in resources.files("conf").joinpath("arch").iterdir()
        if entry.name.endswith(".yaml")
    }
    if name not in presets:
        raise InputError(f"architecture {name!r}: no such preset; {nearest(name, presets)}")
    return Architecture.from_yaml(presets[name].read_text(encoding="utf-8"), name)


def stored_settings(folder: Path) -> SearchSettings:
    """The settings that a run folder was made with. Raises InputError if it is not one."""
    path = folder / CONFIG_NAME
    if not path.is_file() or not (folder / RECORD_NAME).is_file():
        raise InputError(f"{folder}: not a run folder of this platform (no {CONFIG_NAME} and {RECORD_NAME})")
    return settings_from_plain(yaml.safe_load(path.read_text(encoding="utf-8")))


def stored_overrides(folder: Path) -> list[str]:
    """The words that a run was started with; a resumed one starts from them."""
    overrides: list[str] = read_history(folder).header.get("overrides", [])
    return overrides


def _claim_folder(settings: SearchSettings) -> Path:
    if settings.resume is not None:
        folder = Path(settings.resume)
        changed = changed_fields(stored_settings(folder), settings)
        if changed:
            raise InputError(
                f"resume: {', '.join(changed)} differ from what {folder} was made with; a resumed search may "
                "change trials, confirmation, cluster and backend only"
            )
        return folder
    folder = Path(settings.runs_folder) / (settings.name or time.strftime("search-%Y%m%d-%H%M%S"))
    if (folder / RECORD_NAME).exists():
        raise InputError(
            f"{folder}: holds a run already; go on with it by resume={folder}, or choose a name="
        )
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that are not a run; choose another name=")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_NAME).write_text(
            yaml.safe_dump(to_plain(settings), sort_keys=False), encoding="utf-8"
        )
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror}; choose another runs_folder="
        ) from None
    return folder


# ---------------------------------------------------------------------- the run


def _run(
    settings: SearchSettings, folder: Path, record: Record, display: Display, overrides: list[str]
) -> RunResult:
    began = time.monotonic()
    if not record.history.header:
        record.append("run", **_header(settings, folder, overrides))
    worker_settings, protocol = _prepare(settings, folder, display)
    if not record.history.start_scores:
        scores = _start_scores(settings, worker_settings)
        record.append("start", scores=scores, protocol=protocol)
        (folder / "provenance.json").write_text(json.dumps(provenance() | {"protocol": protocol}, indent=1))
    record.append("session", trials=settings.trials, backend=settings.backend)

    strategy = _strategy(settings, record)
    results = _Results(settings, folder, record)
    record.listeners += [display.event, results.event]
    interrupted = False
    display.message(f"{folder}: prepared in {time.monotonic() - began:.0f} s")
    try:
        _drive(strategy, settings, worker_settings, record, display)
    except KeyboardInterrupt:
        interrupted = True
    interrupted = interrupted or not strategy.finished
    report = results.write()
    _say_what_is_left(strategy, display, folder, interrupted)
    return RunResult(folder, record.history, report, interrupted)


def _prepare(
    settings: SearchSettings, folder: Path, display: Display
) -> tuple[TrialSettings, dict[str, Any]]:
    """Data, and the evaluator trained on it or taken from the cache; a copy of it in the run folder."""
    data = load_data(settings.data)
    display.message(
        f"data {data.name}: {len(data.train_captions)} pictures to train on, "
        f"{len(data.held_out_captions)} held out, {data.image_size_px} px"
        + (f", {len(data.unreadable)} files could not be read" if data.unreadable else "")
    )
    evaluator_folder = folder / "evaluator"
    evaluator = _evaluator(settings, evaluator_folder, data)
    display.message(
        f"embedded CLIP: finds the right caption for {evaluator.clip.retrieval_accuracy:.1%} of "
        "the held-out pictures it was checked on"
    )
    worker = TrialSettings(
        run_folder=str(folder.resolve()),
        evaluator_folder=str(evaluator_folder.resolve()),
        proxy=settings.proxy,
        data=settings.data,
        training=settings.training,
    )
    return worker, evaluator.protocol


def _evaluator(settings: SearchSettings, folder: Path, data: Dataset) -> Evaluator:
    """The run's evaluator; a resumed run scores with the very models it began with."""
    if (folder / "protocol.yaml").is_file():
        return Evaluator.load(folder)
    wanted = max(settings.evaluators.reference_images, settings.evaluators.retrieval_images)
    held_out_images, held_out_captions = pictures(
        data.held_out(range(min(wanted, len(data.held_out_captions))))
    )
    return Evaluator.prepare(
        folder,
        settings.evaluators,
        train=lambda indices: pictures(data.train(indices)),
        train_count=len(data.train_captions),
        held_out_images=held_out_images,
        held_out_captions=held_out_captions,
        data_digest=data.digest,
        cache_folder=settings.cache,
    )


def pictures(batch: tuple[Tensor, list[str]]) -> tuple[np.ndarray, list[str]]:
    """A batch as training sees it, float (B, 3, H, W) in [-1, 1], as evaluators do: uint8 (B, H, W, 3)."""
    images, captions = batch
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), captions


def _start_scores(settings: SearchSettings, worker_settings: TrialSettings) -> dict[str, float]:
    """Scores of an untrained network: its output is zero whatever the architecture, so one stands for all."""
    data = load_data(settings.data)
    evaluator = Evaluator.load(Path(worker_settings.evaluator_folder))
    smallest = narrow(settings.space.smallest(lambda a: price(a).macs), settings.proxy)
    trainer = Trainer(smallest, data, settings.training, seed=settings.seed)
    captions = evaluation_captions(data.held_out_captions, settings.evaluators.images)
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
        "sampler": to_plain(settings.sampler),
        "stopping": to_plain(settings.stopping),
        "noise": to_plain(settings.noise),
        "references": list(settings.confirmation.references),
    }


def _strategy(settings: SearchSettings, record: Record) -> Phases:
    search = ArchitectureSearch(
        record,
        space=settings.space,
        budget=settings.budget,
        proxy=settings.proxy,
        sampler=make_sampler(settings.sampler, settings.seed),
        rule=make_rule(settings.stopping, settings.noise),
        objectives=settings.objectives,
        rungs=settings.rungs,
        trials=settings.trials,
        seed=settings.seed,
        enqueued=[named_architecture(name) for name in settings.enqueue],
    )
    references = {Path(name).stem: named_architecture(name) for name in settings.confirmation.references}

    def confirmation() -> Strategy:
        return Confirmation(
            record,
            settings.confirmation,
            references,
            objectives=settings.objectives,
            proxy=settings.proxy,
            steps=settings.rungs[-1],
            seed=settings.seed,
        )

    return Phases(search, confirmation)


def _drive(
    strategy: Strategy, settings: SearchSettings, worker: TrialSettings, record: Record, display: Display
) -> None:
    if settings.backend == "inline":
        from search.backends.inline import run_inline

        run_inline(strategy, worker)
        return
    from search.backends import set_ray_environment

    set_ray_environment(settings.cluster)
    from search.backends.ray_tune import Cluster, Gauges, run_on_ray

    display.message("starting Ray ...")
    with Cluster(settings.cluster, display.message):
        gauges = Gauges(settings.objectives.fid, settings.objectives.clip)
        record.listeners.append(lambda event, history: gauges(history))
        run_on_ray(strategy, worker, settings.cluster)


def _say_what_is_left(strategy: Phases, display: Display, folder: Path, interrupted: bool) -> None:
    if interrupted:
        display.message(f"interrupted; go on with: python -m search resume={folder}")
    for phase in strategy.phases:
        if isinstance(phase, ArchitectureSearch) and phase.exhausted:
            display.message("the sampler found no further architecture that is new and fits the budget")
        if isinstance(phase, Confirmation) and phase.skipped:
            display.message(
                f"{len(phase.skipped)} confirmation runs did not fit in {phase.settings.minutes:g} minutes; "
                f"go on with: make confirm, or python -m search.confirm run={folder}"
            )


# ---------------------------------------------------------------------- the results


class _Results:
    """Keeps the run folder's derived files in step with the record."""

    def __init__(self, settings: SearchSettings, folder: Path, record: Record) -> None:
        self.settings, self.folder, self.record = settings, folder, record
        for trial in record.history.by_key.values():
            self._write_curve(trial.key)

    def event(self, event: Mapping[str, Any], history: History) -> None:
        if event["event"] == "rung":
            self._write_curve(event["key"])
        elif event["event"] == "ended":
            (job_folder(self.folder, event["key"]) / "state.pt").unlink(missing_ok=True)
            self._write_tables()

    def write(self) -> Path | None:
        """Everything that can be made from the record; the report's path."""
        from search.report import write_report

        self._write_tables()
        return write_report(self.folder)

    def _write_tables(self) -> None:
        from search.storage import sync_study
        from search.tables import write_trials_csv

        history, objectives = self.record.history, self.settings.objectives
        write_trials_csv(self.folder, history)
        best = best_first(history.trials, objectives)
        if best:
            (self.folder / "best.yaml").write_text(best[0].architecture.to_yaml(), encoding="utf-8")
        sync_study(self.folder, history, self.settings.space, objectives)

    def _write_curve(self, key: str) -> None:
        """curve.jsonl: a line a rung, as recorded."""
        folder = job_folder(self.folder, key)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(to_plain(rung)) for rung in self.record.history.by_key[key].rungs]
        (folder / "curve.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def disk_free_bytes(folder: Path) -> int:
    """Free space where a folder is or would be."""
    existing = next(parent for parent in [folder.resolve(), *folder.resolve().parents] if parent.exists())
    return shutil.disk_usage(existing).free

"""A search from its settings to its report: what the command line and a notebook both call."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from search.backends.connection import RayConnection
from search.confirmation.confirmation import Confirmation
from search.confirmation.unmeasured import noise_note, what_to_measure, why_unknown
from search.custom import keep_custom
from search.display import Display, make_display
from search.formats import score, states_in_words
from search.latency import check_same_lists
from search.runs.commands import more_seeds_command
from search.runs.files import BEST_NAME, PROVENANCE_NAME
from search.runs.folder import begin_record
from search.runs.header import objectives_of, searches_decoders
from search.runs.provenance import provenance
from search.runs.record import History, Record
from search.runs.results import Listener, Results
from search.runs.rows import choices_of, rung_rows, trial_rows
from search.runs.scores import all_of, best_first
from search.strategies.evolve import Evolution
from search.strategies.independent import ArchitectureSearch
from search.strategies.phases import Phases
from search.strategy import Strategy
from search.subject import DrivenSettings, Subject
from search.subjects import AnySearchSettings, subject_of
from search.worker import WorkerSettings
from space.candidates import Candidate, load_candidate
from space.shared.files import write_whole
from space.shared.plain import InputError, nearest
from space.shared.retries import StorageAway, reason_of, resume_command, resume_hint, storage_error
from training.data.dataset import Dataset

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class RunResult:
    """Where a run is and what it says."""

    folder: Path
    history: History
    report: Path | None
    interrupted: bool

    def __repr__(self) -> str:
        objectives, said = objectives_of(self.history), [states_in_words(self.history.trials)]
        for best in best_first(self.history.trials, objectives)[:1]:
            scores = (f"{each.label} {score(best.score(each.name), each.decimals)}" for each in objectives)
            said.append(f"best {best.name}, {', '.join(scores)}")
        return f"RunResult({self.folder}: {'; '.join(said)}{'; interrupted' * self.interrupted})"

    def frame(self, rows: Literal["trials", "rungs"] = "trials") -> pandas.DataFrame:
        """A pandas table, a row for each trial or each evaluation, with scores and choices as columns: what
        trials.csv and rungs.csv hold. NaN, None or NA: not measured, or a choice without effect there."""
        import pandas

        tables = {"trials": trial_rows, "rungs": rung_rows}
        if rows not in tables:
            raise InputError(f"rows: {rows!r} is no table of a run; {nearest(rows, tables)}")
        columns, found = tables[rows](self.history)
        frame, choices = pandas.DataFrame(found, columns=columns), choices_of(self.history).names
        return (
            frame.assign(**frame[choices].convert_dtypes()) if choices else frame
        )  # whole numbers stay whole

    @property
    def best(self) -> Candidate | None:
        """The winner, also in best.yaml; None if no trial completed."""
        path = self.folder / BEST_NAME
        return load_candidate(path) if path.is_file() else None


def execute(
    settings: AnySearchSettings,
    overrides: list[str] | None = None,
    listeners: Sequence[Listener] = (),
    ray: RayConnection | None = None,
) -> RunResult:
    """Search and confirm.

    Args:
        overrides: the words that made the settings, kept for resuming.
        listeners: what is made of the record while it grows (`analysis.live.STANDARD`: table, report, study).
        ray: that of several searches in turn; by default one for this search.

    Raises:
        InputError: before anything is started, for settings that cannot work.
        StorageAway: storage was full or away for longer than a search waits; it can be gone on with.
    """
    with nullcontext(ray) if ray is not None else RayConnection() as ray:
        return _run_with(ray, subject_of(settings), overrides or [], listeners)


def _run_with(
    ray: RayConnection, subject: Subject, overrides: list[str], listeners: Sequence[Listener]
) -> RunResult:
    settings = subject.settings
    if settings.backend == "ray":
        ray.check(settings.cluster)
    data = subject.check()
    folder = subject.claim(data)
    record = Record(folder)
    try:
        begin_record(settings, folder, record, subject.header(folder, overrides))
        check_same_lists(record.history.header, settings.budget)
        with make_display(settings.trials, settings.objectives) as display:
            record.announce = display.message
            try:
                return _run(subject, data, folder, record, display, listeners, ray)
            except KeyboardInterrupt:  # before the first trial: there is nothing to report
                display.message(f"interrupted; go on with: {resume_command(folder)}")
                raise
    except Exception as error:
        trouble = storage_error(error)
        if trouble is None or isinstance(error, InputError):
            raise
        raise StorageAway(f"{reason_of(trouble)}; {resume_hint(folder)}") from None
    finally:
        record.close()


def _run(
    subject: Subject,
    data: Dataset,
    folder: Path,
    record: Record,
    display: Display,
    listeners: Sequence[Listener],
    ray: RayConnection,
) -> RunResult:
    began, settings = time.monotonic(), subject.settings
    prepared = subject.prepare(data, folder, display)
    made_by = {"protocol": prepared.protocol, "protocol_id": prepared.protocol_id}
    if not record.history.start_scores:
        record.append("start", scores=prepared.start(), real=prepared.real(), **made_by)
    all_of(record.history.start_scores, settings.objectives)
    if note := noise_note(record.history.header):
        display.message(f"noise: {note}")
    for note in subject.notes():
        display.message(note)
    if not (folder / PROVENANCE_NAME).is_file():
        write_whole(folder / PROVENANCE_NAME, json.dumps(provenance() | made_by, indent=1))
    of_session = subject.begin_session(record, display)
    uses = {name: getattr(getattr(settings, name), "use", None) for name in ("sampler", "stopping")}
    kept = keep_custom(folder, record.history, display.message, **uses)
    record.append("session", trials=settings.trials, backend=settings.backend, own=kept, **of_session)

    strategy = subject.phases(record)
    results = Results(folder, record, listeners, display.message)
    record.listeners += [display.event, results.event]
    interrupted = False
    display.message(f"{folder}: prepared in {time.monotonic() - began:.0f} s")
    try:
        _drive(strategy, settings, prepared.worker, record, display, ray)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        results.stop()
    interrupted = interrupted or not strategy.finished
    report = results.write()
    _say_what_is_left(strategy, display, record, folder, interrupted)
    header = record.history.header
    if not interrupted and why_unknown(header) and not searches_decoders(header):
        display.message(what_to_measure(record.history, folder))
    return RunResult(folder, record.history, report, interrupted)


def _drive(
    strategy: Strategy,
    settings: DrivenSettings,
    worker: WorkerSettings,
    record: Record,
    display: Display,
    ray: RayConnection,
) -> None:
    if strategy.finished:
        return
    if settings.backend == "inline":
        from search.backends.inline import run_inline

        run_inline(strategy, worker, display.message)
        return
    torch.set_num_threads(1)  # a Gaussian process beside the workers would fight them for their cores
    ray.use(settings.cluster, display.message)
    from search.backends.ray_gauges import Gauges
    from search.backends.ray_tune import run_on_ray

    gauges = Gauges(settings.objectives)
    record.listeners.append(lambda event, history: gauges(history))
    run_on_ray(strategy, worker, settings.cluster, display.message)


def _say_what_is_left(
    strategy: Phases, display: Display, record: Record, folder: Path, interrupted: bool
) -> None:
    if interrupted:
        display.message(f"interrupted; go on with: {resume_command(folder)}")
    for phase in strategy.parts:
        if isinstance(phase, ArchitectureSearch) and phase.exhausted:
            display.message("the sampler found no further architecture that is new and fits the budget")
        if isinstance(phase, Evolution) and phase.shortfall:
            display.message(f"{phase.shortfall}; over it nothing is trained by itself")
        if isinstance(phase, Confirmation) and phase.undecided:
            display.message(
                f"undecided so far: {', '.join(phase.undecided)}; more seeds: "
                f"{more_seeds_command(folder, phase.settings, record.history.header)}"
            )

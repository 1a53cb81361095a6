"""A run's folder: who may claim it, what it was made with, and the files that are made from its record."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from search.confirmation.leading import lead
from search.runs.appending import HOLDER_NAME
from search.runs.live import Rewriter, remove_torn
from search.runs.record import RECORD_NAME, History, Record, Trial, read_events, read_history
from search.settings import SearchSettings, changed_fields, settings_from_plain
from search.trial import STATE_NAME, job_folder, make_job_folder
from space.shared.files import write_whole
from space.shared.plain import InputError, to_plain
from space.shared.retries import once, reason_of, resume_command

CONFIG_NAME, CURVE_NAME, BEST_NAME = "config.yaml", "curve.jsonl", "best.yaml"
DERIVED = (BEST_NAME, "trials.csv", "report.html")  # written whole, again and again


def stored_settings(folder: Path) -> SearchSettings:
    """The settings that a run folder was made with. Raises InputError if it is not one."""
    path = folder / CONFIG_NAME
    if not path.is_file() or not (folder / RECORD_NAME).is_file():
        raise InputError(f"{folder}: not a run folder of this platform (no {CONFIG_NAME} and {RECORD_NAME})")
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as the settings of a run: {reason}") from None
    try:
        return settings_from_plain(plain)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def stored_overrides(folder: Path) -> list[str]:
    """The words that a run was started with; a resumed one starts from them."""
    header = read_history(folder).header
    if not header:
        raise InputError(
            f"{folder}: was interrupted before anything was recorded; start it again as it was started first"
        )
    overrides: list[str] = header.get("overrides", [])
    return overrides


def latest_run(runs_folder: Path) -> Path:
    """The run folder whose record was written to last. Raises InputError if there is none."""
    records = list(runs_folder.glob(f"*/{RECORD_NAME}"))
    if not records:
        raise InputError(f"{runs_folder}: holds no run yet; start one with: mdsearch search")
    return max(records, key=lambda path: path.stat().st_mtime).parent


def claim_folder(settings: SearchSettings) -> Path:
    """The folder that a search will write to: a new one, or the one to go on with.

    Raises:
        InputError: if it is another run's, holds other files, cannot be written, or was made with settings
            that differ in what was measured.
    """
    if settings.resume is not None:
        folder = Path(settings.resume)
        changed = changed_fields(stored_settings(folder), settings)
        if changed:
            raise InputError(
                f"resume: {', '.join(changed)} differ from what {folder} was made with; a resumed search may "
                "change trials, confirmation, cluster, backend, compute and weights only"
            )
        return folder
    runs = Path(settings.runs_folder).expanduser()
    folder = runs / (settings.name or time.strftime("search-%Y%m%d-%H%M%S"))
    if _holds_events(folder / RECORD_NAME):
        raise InputError(
            f"{folder}: holds a run already; go on with it: {resume_command(folder)}; or choose a name="
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not all(_is_left_by_a_start(file.name) for file in folder.iterdir()):
            raise InputError(f"{folder}: holds files that are not a run; choose another name=")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror}; choose another runs_folder= or name="
        ) from None
    return folder


def _holds_events(record: Path) -> bool:
    return record.is_file() and any(True for _ in read_events(record))


def _is_left_by_a_start(name: str) -> bool:
    """Files of a search that was killed before it recorded anything: its folder is free."""
    starts = (CONFIG_NAME, RECORD_NAME, HOLDER_NAME)
    return name in starts or any(name.startswith(f".{start}.") for start in starts)


def begin_record(settings: SearchSettings, folder: Path, record: Record, header: Mapping[str, Any]) -> None:
    """Write down what was asked, unless the record holds it already. The settings come first, so that they
    are there whenever the record says that there is a run."""
    if not record.history.header:
        write_whole(folder / CONFIG_NAME, yaml.safe_dump(to_plain(settings), sort_keys=False))
        record.append("run", **header)


class Results:
    """Keeps the run folder's derived files in step with the record: curves at once; tables, study and report
    by a thread that takes a small share of the time, and once more when the search has ended."""

    def __init__(
        self, settings: SearchSettings, folder: Path, record: Record, announce: Callable[[str], None] = print
    ) -> None:
        self.settings, self.folder, self.record, self.say = settings, folder, record, once(announce)
        remove_torn(folder, DERIVED)
        self.behind = {trial.key for trial in record.history.by_key.values() if self._is_behind(trial)}
        self._catch_up()
        self.rewriter = Rewriter(lambda: self._write(read_history(folder), running=True), announce)
        self.rewriter.touch()

    def event(self, event: Mapping[str, Any], history: History) -> None:
        if event["event"] in ("rung", "ended"):
            self.behind.add(event["key"])
            self._catch_up()
        self.rewriter.touch()

    def stop(self) -> None:
        """Write no more while the search runs; returns when nothing is being written."""
        self.rewriter.stop()

    def write(self) -> Path | None:
        """Everything that can be made from the record of a search that has ended; the report's path, if it
        could be written."""
        self.stop()
        self._catch_up()
        try:
            self._write(self.record.history, running=False)
        except OSError as error:
            self.say(f"{reason_of(error)}; to make it again: {resume_command(self.folder)}")
        report = self.folder / "report.html"
        return report if report.is_file() else None

    def _write(self, history: History, *, running: bool) -> None:
        from analysis.report import write_report
        from analysis.study import sync_study
        from analysis.tables import write_trials_csv

        objectives = self.settings.objectives
        write_trials_csv(self.folder, history)
        leading = lead(history)
        if leading is not None:
            write_whole(self.folder / BEST_NAME, leading.winner.architecture.to_yaml())
        write_report(self.folder, running=running, history=history)
        sync_study(self.folder, history, self.settings.space, objectives)

    def _is_behind(self, trial: Trial) -> bool:
        folder = job_folder(self.folder, trial.key)
        if trial.state == "running":
            return True
        return not (folder / CURVE_NAME).is_file() or (folder / STATE_NAME).exists()

    def _catch_up(self) -> None:
        """curve.jsonl of trials, a line a rung, and no state of one that has ended. What cannot be written
        now is at a later event: it must not stop the search."""
        for key in sorted(self.behind):
            trial = self.record.history.by_key[key]
            lines = [json.dumps(to_plain(rung)) for rung in trial.rungs]
            try:
                folder = make_job_folder(self.folder, key)
                write_whole(folder / CURVE_NAME, "".join(line + "\n" for line in lines))
                if trial.state != "running":
                    (folder / STATE_NAME).unlink(missing_ok=True)
            except OSError as error:
                self.say(f"curves cannot be written: {reason_of(error)}; trying again later")
                return
            self.behind.discard(key)


def disk_free_bytes(folder: Path) -> int:
    """Free space where a folder is or would be."""
    existing = next(parent for parent in [folder.resolve(), *folder.resolve().parents] if parent.exists())
    return shutil.disk_usage(existing).free

"""The files that are made from a run's record while it goes on: the search's own, and those of listeners."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from search.confirmation.leading import lead
from search.runs.files import (
    BEST_NAME,
    CURVE_NAME,
    REPORT_NAME,
    REWRITTEN,
    job_folder,
    make_job_folder,
)
from search.runs.live import Rewriter, remove_torn
from search.runs.record import History, Record, Trial, read_history
from space.shared.files import write_whole
from space.shared.plain import to_plain
from space.shared.retries import once, reason_of, resume_command
from training.files import has_states, remove_states


class Listener(Protocol):
    """Makes something of a run's record, in its folder: a report, say. Whoever starts a search names its
    listeners; the search knows none.

    It is called by a thread beside the search, now and then (`running`), and once more when the search has
    ended. What it raises is announced, and does not stop the search.
    """

    def __call__(self, folder: Path, history: History, *, running: bool) -> object: ...


class Results:
    """Keeps the files of a run folder in step with its record: curves at once; best.yaml, and what listeners
    make, by a thread that takes a small share of the time, and once more when the search has ended."""

    def __init__(
        self,
        folder: Path,
        record: Record,
        listeners: Sequence[Listener] = (),
        announce: Callable[[str], None] = print,
    ) -> None:
        self.folder, self.record, self.say = folder, record, once(announce)
        self.listeners = (write_best, *listeners)
        remove_torn(folder, REWRITTEN)
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
        """Everything that can be made from the record of a search that has ended; the report's path, if a
        listener wrote one."""
        self.stop()
        self._catch_up()
        try:
            self._write(self.record.history, running=False)
        except Exception as error:  # whatever it is: the search has ended, and its record is safe
            reason = reason_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self.say(f"{' '.join(reason.split())}; to make it again: {resume_command(self.folder)}")
        report = self.folder / REPORT_NAME
        return report if report.is_file() else None

    def _write(self, history: History, *, running: bool) -> None:
        """Each listener has its turn, whatever became of those before it; raises what the first raised."""
        failures = []
        for listener in self.listeners:
            try:
                listener(self.folder, history, running=running)
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _is_behind(self, trial: Trial) -> bool:
        folder = job_folder(self.folder, trial.key)
        if trial.state == "running":
            return True
        return not (folder / CURVE_NAME).is_file() or has_states(folder)

    def _catch_up(self) -> None:
        """curve.jsonl of trials, a line per rung, and no state of one that has ended. What cannot be written
        now is at a later event: it must not stop the search."""
        for key in sorted(self.behind):
            trial = self.record.history.by_key[key]
            lines = [json.dumps(to_plain(rung)) for rung in trial.rungs]
            try:
                folder = make_job_folder(self.folder, key)
                write_whole(folder / CURVE_NAME, "".join(line + "\n" for line in lines))
                if trial.state != "running":
                    remove_states(folder)
            except OSError as error:
                self.say(f"curves cannot be written: {reason_of(error)}; trying again later")
                return
            self.behind.discard(key)


def write_best(folder: Path, history: History, *, running: bool) -> None:
    """best.yaml: the architecture that leads, once there is one."""
    leading = lead(history)
    if leading is not None:
        write_whole(folder / BEST_NAME, leading.winner.architecture.to_yaml())

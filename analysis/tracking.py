"""A search in MLflow or W&B: the parent run, with its choices, report and winner; its trials are nested.

Brought from the record and from what trials left for TensorBoard, beside the search: workers know no tracker.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from search.formats import run_name
from search.runs.files import BEST_NAME, CSV_NAME, REPORT_NAME, job_folder
from search.runs.header import objectives_of
from search.runs.record import History, State, Trial
from search.runs.results import Listener
from search.runs.rows import choices_of
from training.logs.event_files import EventReader, LoggedEvent
from training.logs.following import bring
from training.logs.observers import why
from training.logs.trackers import Described, HowEnded, KeptRuns, TrackedRun, Tracker, check_trackers, tracker

REST_SECONDS = 300.0  # after a failure
SEARCH_KEY = ""  # of the parent, beside the keys of trials
JOBS = {"search": "trial", "confirm": "confirm", "supernet": "supernet"}
HOW_ENDED: Mapping[State, HowEnded] = {
    "complete": "finished",
    "halted": "stopped",
    "failed": "failed",
}
ENDED = "ended"  # of a trial that nothing is added to, before what its run is called


def tracking(names: Iterable[str]) -> tuple[Listener, ...]:
    """A listener for each tracker. Its library is loaded here: the thread that calls listeners rests long
    after what took it long. Raises InputError for one that is not installed."""
    names = list(names)
    check_trackers(names)
    for name in names:
        import_module(name)
    return tuple(TrackedSearch(name) for name in names)


class TrackedSearch:
    """A listener of one search. What fails is said once, and tried again later: nothing is lost by then."""

    def __init__(self, kind: str) -> None:
        self._kind, self._not_before, self._said = kind, 0.0, False
        self._tracker: Tracker | None = None
        self._runs: dict[str, TrackedRun] = {}

    def __call__(self, folder: Path, history: History, *, running: bool) -> None:
        if running and time.monotonic() < self._not_before:
            return
        try:
            self._tracker = self._tracker or tracker(self._kind)
            self._bring(KeptRuns(folder, self._tracker), self._tracker, folder, history, running)
        except Exception as error:  # whatever it is: of a log alone no search ends
            self._not_before = time.monotonic() + REST_SECONDS
            self._runs = {}
            if not self._said:
                self._said = True
                later = "the search goes on, and what is missing there is brought later"
                print(f"note: {self._kind}: {why(error)}; {later}", file=sys.stderr)

    def _bring(self, kept: KeptRuns, tracker: Tracker, folder: Path, history: History, running: bool) -> None:
        name = str(history.header.get("name", folder.name))
        search = self._run(kept, tracker, folder, _search_described(name, history))
        for trial in history.by_key.values():
            if _has_ended(kept.get(trial.key)):
                continue
            what = _trial_described(trial, history, (search.id, name))
            run = self._run(kept, tracker, folder, what)
            bring(run, *_said_by(trial, job_folder(folder, trial.key)))
            kept.set(trial.key, run.kept)
            if trial.state != "running" or not running:
                run.end(HOW_ENDED.get(trial.state, "stopped"), trial.reason)
                del self._runs[trial.key]
            if trial.state != "running":
                kept.set(trial.key, {ENDED: run.id})
        search.log(_progress(history))
        kept.set(SEARCH_KEY, search.kept)
        if not running:
            files = [folder / file for file in (REPORT_NAME, BEST_NAME, CSV_NAME)]
            search.log_files([file for file in files if file.is_file()])
            unfinished = any(trial.state == "running" for trial in history.by_key.values())
            search.end("stopped" if unfinished else "finished")
            del self._runs[SEARCH_KEY]

    def _run(self, kept: KeptRuns, tracker: Tracker, folder: Path, what: Described) -> TrackedRun:
        if what.key not in self._runs:
            run = self._runs[what.key] = tracker.open(what, kept.get(what.key), folder)
            kept.set(what.key, run.kept)
        return self._runs[what.key]


def _has_ended(kept: Any) -> bool:
    return isinstance(kept, dict) and ENDED in kept


def _search_described(name: str, history: History) -> Described:
    left_out = ("name", "overrides", "event", "time")
    header = {key: value for key, value in history.header.items() if key not in left_out}
    return Described(SEARCH_KEY, name, "search", header)


def _trial_described(trial: Trial, history: History, within: tuple[str, str]) -> Described:
    params: dict[str, Any] = {
        "architecture": trial.architecture.id,
        "parameters": trial.cost.parameters,
        "gmacs": trial.cost.gmacs,
        "proxy_parameters": trial.proxy_parameters,
        "seed": trial.seed,
        "steps": trial.steps,
        "protocol": history.header.get("protocol"),
        "choices": choices_of(history).at(trial.architecture),
    }
    return Described(trial.key, run_name(trial), JOBS.get(trial.purpose, trial.purpose), params, within)


def _said_by(trial: Trial, folder: Path) -> tuple[list[LoggedEvent], dict[int, dict[str, float]]]:
    """By its events up to the last rung that is recorded, or all where it has ended; and by its rungs, whose
    scores the record holds in full."""
    rungs = {rung.step: rung.scores for rung in trial.rungs}
    most = trial.last_step if trial.state == "running" else trial.steps
    return [told for told in EventReader(folder).new() if told.step <= most], rungs


def _progress(history: History) -> dict[int, dict[str, float]]:
    """By the number of trials that have ended."""
    ended = [trial for trial in history.trials if trial.state != "running"]
    if not ended:
        return {}
    complete = [trial for trial in ended if trial.state == "complete"]
    values: dict[str, float] = {"complete": len(complete), "seconds": sum(trial.seconds for trial in ended)}
    for objective in objectives_of(history):
        scores = [score for trial in complete if (score := trial.score(objective.name)) is not None]
        if scores:
            values[f"best/{objective.name}"] = objective.best(scores)
    return {len(ended): values}

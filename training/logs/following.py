"""Trackers follow the events of a folder: whatever was away or stopped, what is missing is brought later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from training.files import ARCHITECTURE_NAME, CARD_NAME, SAMPLES_NAME, STATES_FOLDER, states_in
from training.logs.event_files import EventReader, LoggedEvent
from training.logs.observers import Evaluated, Points, why
from training.logs.trackers import Described, HowEnded, KeptRuns, TrackedRun, tracker

PAUSE_SECONDS = 60.0  # after a failure
LAST_SECONDS = 120.0  # that the end of a training waits


def points_of(told: Iterable[LoggedEvent]) -> dict[int, dict[str, float]]:
    """The values of events by step, in rising order."""
    points: dict[int, dict[str, float]] = {}
    for event in told:
        points.setdefault(event.step, {}).update(event.values)
    return {step: points[step] for step in sorted(points)}


def bring(run: TrackedRun, told: Sequence[LoggedEvent], beside: Points | None = None) -> None:
    """What events say, and what is known `beside` them and goes before, to a run."""
    points = points_of(told)
    for step, values in (beside or {}).items():
        points[step] = {**points.get(step, {}), **values}
    left = sorted(points)
    for event in told:
        if event.images:  # in the order of steps, which trackers may insist on
            run.log({step: points[step] for step in left if step <= event.step})
            left = [step for step in left if step > event.step]
            for name, png in event.images.items():
                run.log_image(event.step, name, png)
    run.log({step: points[step] for step in left})


class Follower:
    """An observer by which a tracker's run holds what a folder's events say. A thread of its own brings it,
    so that training never waits for a server."""

    name: ClassVar[str] = "logger"

    def __init__(self, kind: str, what: Described, folder: Path, say: Callable[[str], None]) -> None:
        self._kind, self._what, self._folder, self._say = kind, what, folder, say
        self._reader = EventReader(folder)
        self._kept: KeptRuns | None = None
        self._run: TrackedRun | None = None
        self._woken, self._closed, self._said = threading.Event(), threading.Event(), False
        self._thread: threading.Thread | None = None
        self._ending: tuple[HowEnded, list[Path]] = "stopped", []

    def begin(self, step: int) -> None:
        """It is asked what it holds; that stays."""

    def part(self, points: Points, evaluated: Evaluated | None = None) -> None:
        self._wake()

    def close(self, how: HowEnded, files: Iterable[Path] = ()) -> None:
        """Brings the rest, and files where training has finished; waits for that, but not for ever."""
        self._ending = how, [file for file in files if file.is_file()]
        self._closed.set()
        self._wake()
        assert self._thread is not None
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            self._say_once(f"did not take everything within {LAST_SECONDS:.0f} seconds")

    def _wake(self) -> None:
        self._woken.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name=self._kind, daemon=True)
            self._thread.start()

    def _follow(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            is_last = self._closed.is_set()
            try:
                self._bring()
                if is_last:
                    self._end()
            except Exception as error:  # whatever it is: of a log alone no training ends
                self._say_once(why(error))
                self._closed.wait(PAUSE_SECONDS)
            if is_last:
                return

    def _bring(self) -> None:
        if self._run is None or self._kept is None:
            chosen = tracker(self._kind)
            self._kept = KeptRuns(self._folder, chosen)
            self._run = chosen.open(self._what, self._kept.get(self._what.key), self._folder)
            self._kept.set(self._what.key, self._run.kept)
        bring(self._run, self._reader.new())
        self._reader.accept()
        self._kept.set(self._what.key, self._run.kept)

    def _end(self) -> None:
        assert self._run is not None
        how, files = self._ending
        if files:
            self._run.log_files(files)
        self._run.end(how)

    def _say_once(self, text: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"{self._kind}: {text}; training goes on, and what is missing there is brought later")


@contextmanager
def followed(
    names: Iterable[str], what: Described, folder: Path, until: int, say: Callable[[str], None] = print
) -> Iterator[list[Follower]]:
    """A follower for each tracker, told in the end how the training in the block ended: whether its states
    came as far as `until`; then they are given its card and samples, too."""
    followers = [Follower(name, what, folder, say) for name in names]
    how: HowEnded = "failed"
    try:
        yield followers
        is_there = any(int(state.stem) >= until for state in states_in(folder / STATES_FOLDER))
        how = "finished" if is_there else "stopped"
    finally:
        made = [folder / name for name in (CARD_NAME, SAMPLES_NAME, ARCHITECTURE_NAME)]
        for follower in followers:
            follower.close(how, made if how == "finished" else [])

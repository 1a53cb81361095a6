"""Whether a run's decisions were those that its settings ask for: its record, driven through them again."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.preparation import strategy_of
from search.runs.files import RECORD_NAME
from search.runs.folder import stored_settings
from search.runs.record import History, MemoryRecord, read_events, read_history
from search.settings import SearchSettings
from search.strategy import Report, Strategy

COMPARED = {
    "rejected": ("before_trial", "kind", "architecture_id", "reason"),
    "proposed": ("key", "architecture_id", "seed", "source", "params", "sampler_attributes"),
    "rung": ("key", "step", "decision", "reason"),
}


@dataclass(frozen=True)
class Recheck:
    """How many decisions came out as recorded, and the first that did not."""

    folder: Path
    agreed: int
    difference: str = ""

    @property
    def agrees(self) -> bool:
        return not self.difference

    def sentence(self) -> str:
        if self.agrees:
            return f"{self.folder}: {self.agreed} decisions, every one as recorded"
        return f"{self.folder}: {self.agreed} decisions as recorded, then another: {self.difference}"


def recheck(folder: Path) -> Recheck:
    """Drive the run's own sampler and stopping rule through its record, in the recorded order of events.

    Proposals, refusals and decisions at rungs are made anew and compared; scores, ends and confirmation runs
    (which depend on the time that was left) are taken as recorded.

    Raises:
        InputError: if it is not a run folder.
    """
    settings = stored_settings(folder)
    events = list(read_events(folder / RECORD_NAME))
    confirmed = {event["key"] for event in events if event.get("purpose") == "confirm"}
    events = [event for event in events if event.get("key") not in confirmed]
    trials = sum(event["event"] == "proposed" for event in events)
    read_history(folder)  # says which line is no event
    driven = _Driven(replace(settings, trials=max(1, trials)))
    for agreed, event in enumerate(driven.decisions(events)):
        difference = _difference(event, driven.own())
        if difference:
            return Recheck(folder, agreed, difference)
    return Recheck(folder, driven.compared)


class _Driven:
    """The run's own strategy, on a record in memory."""

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings
        self.compared = 0
        self._begin([])

    def _begin(self, recorded: Iterable[dict[str, Any]]) -> None:
        """As a driver that opens a record which holds this much."""
        self.record = MemoryRecord(lambda: 0.0)
        for event in recorded:
            self.record.history.apply(event)
        self.made: deque[dict[str, Any]] = deque()
        self.record.listeners.append(self._hear)
        self.search: Strategy | None = None

    def decisions(self, events: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The recorded decisions in order; `own` is then what the strategy decided in their place."""
        for place, event in enumerate(events):
            if event["event"] == "session":  # what the driver before was about to decide came to nothing
                self._begin(events[: place + 1])
            elif event["event"] in COMPARED:
                self._decide(event)
                yield event
                self.compared += 1
            elif event["event"] == "ended":
                self._strategy().take_result(event["key"], event["state"], event["reason"])
            else:
                fields = {name: value for name, value in event.items() if name not in ("event", "time")}
                self.record.append(event["event"], **fields)

    def own(self) -> dict[str, Any] | None:
        return self.made.popleft() if self.made else None

    def _decide(self, event: dict[str, Any]) -> None:
        if event["event"] == "rung":
            self._strategy().judge(event["key"], Report(event["step"], event["scores"], event["seconds"]))
        elif not self.made:  # one call may refuse several before it proposes
            self._strategy().propose()

    def _strategy(self) -> Strategy:
        """Made at the first decision: by then the record holds what was known before it."""
        if self.search is None:
            self.search = strategy_of(self.settings, self.record)
            for trial in self.record.history.trials:
                if trial.state == "running":  # interrupted: these come first, and no event says so
                    self.search.propose()
        return self.search

    def _hear(self, event: dict[str, Any], history: History) -> None:
        if event["event"] in COMPARED:
            self.made.append(event)


def _difference(recorded: dict[str, Any], own: dict[str, Any] | None) -> str:
    where = f"{recorded['event']} {recorded.get('key', recorded.get('before_trial'))}"
    if recorded["event"] == "rung":
        where += f" at step {recorded['step']}"
    if own is None:
        return f"{where} is recorded; now nothing would be proposed"
    if own["event"] != recorded["event"]:
        return f"{where} is recorded; now it would be {own['event']}"
    for name in COMPARED[recorded["event"]]:
        there, here = (json.loads(json.dumps(event.get(name))) for event in (recorded, own))
        if there != here:
            return f"{where}: {name} {there!r} is recorded; now it would be {here!r}"
    return ""

"""Whether a run's decisions were those that its settings ask for: its record, driven through them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from search.preparation import search_strategy
from search.runs.bundle import Bundled, bundled_of, is_bundle
from search.runs.files import RECORD_NAME
from search.runs.header import noise_of_rule, objectives_of, space_of, trained_elsewhere
from search.runs.record import History, MemoryRecord, read_events, read_history
from search.samplers.factory import SamplerSettings, make_sampler
from search.statistics.noise import NO_NOISE
from search.stopping.factory import StoppingSettings, make_rule
from search.strategies.base import SearchTask
from search.strategies.factory import StrategySettings
from search.strategy import Report, Strategy
from search.subjects import stored_search
from space.budget import Budget
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain

RecordedEvent = Mapping[str, Any]
MakeSearch = Callable[[MemoryRecord], Strategy]

COMPARED = {
    "rejected": ("before_trial", "kind", "architecture_id", "reason"),
    "proposed": ("key", "architecture_id", "seed", "source", "params", "sampler_attributes"),
    "rung": ("key", "step", "decision", "reason"),
    "evolved": ("step", "stages", "actions", "over_after"),
}
NEEDED = (
    "strategy",
    "space",
    "budget",
    "proxy",
    "sampler",
    "stopping",
    "noise",
    "objectives",
    "rungs",
    "seed",
)


@dataclass(frozen=True)
class Agreement:
    """How many decisions of a kind came out as recorded, of how many."""

    agreed: int = 0
    compared: int = 0

    def __str__(self) -> str:
        return f"{self.agreed} / {self.compared}"


@dataclass(frozen=True)
class Recheck:
    """What of a run came out as recorded; `difference` is the first that did not, `unchecked` why nothing
    could be decided anew."""

    name: str
    sampler: str = ""
    proposals: Agreement = Agreement()
    rejections: Agreement = Agreement()
    rungs: Agreement = Agreement()
    difference: str = ""
    unchecked: str = ""

    @property
    def agrees(self) -> bool:
        return not self.difference and not self.unchecked

    @property
    def agreed(self) -> int:
        return self.proposals.agreed + self.rejections.agreed + self.rungs.agreed

    @property
    def compared(self) -> int:
        return self.proposals.compared + self.rejections.compared + self.rungs.compared

    def sentence(self) -> str:
        if self.unchecked:
            return f"{self.name}: cannot be decided anew: {self.unchecked}"
        if self.agrees:
            return f"{self.name}: {self.agreed} decisions, every one as recorded"
        return (
            f"{self.name}: {self.agreed} of {self.compared} decisions as recorded; first another: "
            f"{self.difference}"
        )


def agreement_table(found: Sequence[Recheck]) -> str:
    """How many decisions of each run came out as recorded, of how many."""
    heads = ("run", "sampler", "proposals", "rejections", "decisions at rungs")
    rows = [
        (one.name, one.sampler or "-", *map(str, (one.proposals, one.rejections, one.rungs))) for one in found
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (heads, *rows)]
    return "\n".join(lines)


def rechecks(source: str) -> Iterator[Recheck]:
    """Every run that a source names: a run folder, a bundle, some runs of a bundle (see `bundled_of`).

    Raises:
        InputError: neither, or a record that cannot be read.
    """
    if is_bundle(source):
        yield from map(recheck_bundled, bundled_of(source))
    else:
        yield recheck(Path(source))


def recheck(folder: Path) -> Recheck:
    """Drive the run's own sampler and stopping rule through its record, in the recorded order of events.

    Proposals, rejections and decisions at rungs are made anew, each from what was recorded before it, and
    compared; scores, ends and confirmation runs (which depend on the time that was left) are taken as
    recorded.

    Raises:
        InputError: if it is not a run folder.
    """
    history = read_history(folder)  # says which line is no event
    told = trained_elsewhere(history)
    settings = stored_search(folder, history)
    events = list(read_events(folder / RECORD_NAME))
    noise = noise_of_rule(history) if told or history.header.get("noise") else settings.noise or NO_NOISE
    trials = sum(event["event"] == "proposed" and event["purpose"] == "search" for event in events)
    asked = replace(settings, trials=max(1, trials))
    return _compared(
        str(folder), settings.sampler.name, events, lambda record: search_strategy(asked, record, noise)
    )


def recheck_bundled(run: Bundled) -> Recheck:
    """The same for a run of a bundle, whose settings stand in the header of its record; architectures that
    its user put first are taken from the record. Raises InputError for an event that is none."""
    history = run.history
    missing = [name for name in NEEDED if history.header.get(name) is None]
    if missing:
        return Recheck(run.name, unchecked=f"its header does not say {', '.join(missing)}")
    try:
        make = _search_of_header(history)
    except InputError as error:
        return Recheck(run.name, unchecked=str(error))
    return _compared(run.name, history.header["sampler"]["name"], run.events, make)


def _search_of_header(history: History) -> MakeSearch:
    header, noise, objectives, space = (
        history.header,
        noise_of_rule(history),
        objectives_of(history),
        space_of(history),
    )
    sampler = from_plain(SamplerSettings, header["sampler"], "sampler")
    stopping = from_plain(StoppingSettings, header["stopping"], "stopping")
    strategy = from_plain(StrategySettings, header["strategy"], "strategy")
    budget: Budget = from_plain(Budget, header["budget"], "budget")
    proxy: Proxy = from_plain(Proxy, header["proxy"], "proxy")
    for group, chosen in (("sampler", sampler), ("stopping", stopping)):
        if use := getattr(chosen, "use", None):
            raise InputError(f"{group}: {use} is the user's own file, which a bundle does not hold")
    rule = make_rule(stopping, noise)

    def make(record: MemoryRecord) -> Strategy:
        task = SearchTask(
            space=space,
            budget=budget,
            proxy=proxy,
            sampler=make_sampler(sampler, header["seed"]),
            rule=rule,
            objectives=objectives,
            rungs=tuple(header["rungs"]),
            trials=max(1, len(history.trials)),
            seed=header["seed"],
            enqueued=tuple(trial.architecture for trial in history.trials if trial.source == "enqueued"),
        )
        made: Strategy = strategy.make(record, task)
        return made

    return make


def _compared(name: str, sampler: str, events: Sequence[RecordedEvent], make: MakeSearch) -> Recheck:
    confirmed = {event["key"] for event in events if event.get("purpose") == "confirm"}
    driven = _Driven(make, [event for event in events if event.get("key") not in confirmed])
    differences: dict[str, list[str]] = {kind: [] for kind in COMPARED}
    first = ""
    for recorded, own in driven.decisions():
        difference = _difference(recorded, own)
        differences[recorded["event"]].append(difference)
        first = first or difference
    differences["rung"] += differences.pop("evolved")  # decided there
    counts = {kind: Agreement(found.count(""), len(found)) for kind, found in differences.items()}
    return Recheck(name, sampler, counts["proposed"], counts["rejected"], counts["rung"], first)


class _Driven:
    """The run's own strategy, on a record in memory that always holds what was recorded so far."""

    def __init__(self, make: MakeSearch, events: Sequence[RecordedEvent]) -> None:
        self.make, self.events = make, events
        self._begin(0)

    def _begin(self, end: int) -> None:
        """As a driver that opens a record which holds the events up to there."""
        self.record = MemoryRecord(lambda: 0.0)
        for event in self.events[:end]:
            self.record.history.apply(event)
        self.decided: list[RecordedEvent] = []
        self.record.listeners.append(self._hear)
        self.search: Strategy | None = None

    def decisions(self) -> Iterator[tuple[RecordedEvent, RecordedEvent | None]]:
        """Each recorded decision in order, and what the strategy decides in its place."""
        place = 0
        while place < len(self.events):
            event, end = self.events[place], place + 1
            if event["event"] in COMPARED:
                end = self._end_of_decision(place)
                pairs = list(zip_longest(self.events[place:end], self._decide(event)[: end - place]))
                yield from pairs
                if any(_difference(recorded, own) for recorded, own in pairs) or self.decided[end - place :]:
                    self._begin(end)
            elif event["event"] == "session":  # what the driver before was about to decide came to nothing
                self._begin(end)
            elif event["event"] == "ended":
                self._strategy().take_result(event["key"], event["state"], event["reason"])
            else:
                fields = {name: value for name, value in event.items() if name not in ("event", "time")}
                self.record.append(event["event"], **fields)
            place = end

    def _end_of_decision(self, place: int) -> int:
        """One call may reject several before it proposes; killed while it did, it proposed none. Actions come
        with the rung that they were decided at."""
        if self.events[place]["event"] == "evolved":
            after = self.events[place + 1 : place + 2]
            return place + 1 + bool(after and after[0]["event"] == "rung")
        while self.events[place]["event"] == "rejected" and place + 1 < len(self.events):
            if self.events[place + 1]["event"] not in ("rejected", "proposed"):
                break
            place += 1
        return place + 1

    def _decide(self, event: RecordedEvent) -> list[RecordedEvent]:
        search = self._strategy()
        self.decided = []
        if event["event"] == "rung":
            search.judge(event["key"], Report(event["step"], event["scores"], event["seconds"]))
        elif event["event"] == "evolved":
            own, *_ = inherited = tuple(event["inherited"])
            search.judge(event["key"], Report(event["step"], own, {}, inherited=inherited))
        else:
            search.propose()
        return self.decided

    def _strategy(self) -> Strategy:
        """Made at the first decision: by then the record holds what was known before it."""
        if self.search is None:
            self.search = self.make(self.record)
            for trial in self.record.history.trials:
                if trial.state == "running":  # interrupted: these come first, and no event says so
                    self.search.propose()
        return self.search

    def _hear(self, event: dict[str, Any], history: History) -> None:
        if event["event"] in COMPARED:
            self.decided.append(event)


def _difference(recorded: RecordedEvent, own: RecordedEvent | None) -> str:
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

"""The append-only record of a run: the truth, from which everything else in the run folder can be remade.

A record is a file of JSON lines, one event each. `History` is what the events say, folded in order; the
strategy keeps one as it goes, and reading the file gives an equal one. Events:

    run       what was asked: seed, trials, objectives, rungs
    start     the protocol, and the scores of an untrained network, where every learning curve begins
    prior     a trial of an earlier run, whole: known to sampler and stopping, never this search's own
    elsewhere a trial of another protocol, whole: the sampler hears how it stood there
    rejected  a proposal that never became a trial: over budget, or a network tried before
    proposed  a priced candidate became a trial, or a confirmation run; or a training that trials share
    inherited what candidates score with weights that they inherit from a shared training, the best first
    evolved   what each stage of a network is worth in a shared training, and which went or were copied
    rung      a trial was evaluated at a step, and what was decided
    ended     complete, halted or failed, and why
    session   a driver opened the record: the first, or a resumed one
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from search.runs.appending import AppendedLines
from search.runs.earlier import current
from search.runs.files import RECORD_NAME
from space.candidates import Candidate, candidate_from_plain
from space.prices.macs import Cost
from space.shared.plain import InputError

State = Literal["running", "complete", "halted", "failed"]
Purpose = Literal["search", "confirm", "prior", "supernet"]


@dataclass
class Rung:
    """One evaluation of a trial. `scores` holds every score by its full name, `validation_loss` among
    them; `seconds` where the time went (training, sampling, features, ...) since the rung before;
    `deviations` what resampling the images does to a score, empty in records of earlier versions."""

    step: int
    scores: dict[str, float]
    seconds: dict[str, float]
    decision: Literal["continue", "halt", "end"]
    reason: str = ""
    deviations: dict[str, float] = field(default_factory=dict)


@dataclass(repr=False)
class Trial:
    """A candidate that is or was trained. Confirmation runs are trials too, with `purpose` confirm and
    the name of what they confirm ("trial 7", "md") and `why` they were started; they are never told to the
    sampler. A training that trials share has the purpose supernet. Trials of earlier runs have the purpose
    prior, numbers below zero, and their run's folder as `source`."""

    key: str
    number: int
    purpose: Purpose
    name: str
    architecture: Candidate
    cost: Cost
    seed: int
    steps: int
    source: str
    why: str = ""
    params: dict[str, Any] | None = None
    sampler_attributes: dict[str, Any] = field(default_factory=dict)
    proxy_parameters: int = 0
    rungs: list[Rung] = field(default_factory=list)
    state: State = "running"
    reason: str = ""
    started: float = 0.0
    ended: float = 0.0

    def __repr__(self) -> str:
        scores = self.rungs[-1].scores if self.rungs else {}
        said = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        return f"Trial({self.name}: {self.state} at step {self.last_step}{', ' * bool(said)}{said})"

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for a trial and its copies in other records, whichever way they came."""
        return self.architecture.id, self.seed, self.started

    @property
    def last_step(self) -> int:
        return self.rungs[-1].step if self.rungs else 0

    @property
    def seconds(self) -> float:
        """Worker time spent on the trial: training and evaluation."""
        return sum(sum(rung.seconds.values()) for rung in self.rungs)

    def score(self, name: str, step: int | None = None) -> float | None:
        """A score at a step (the last rung by default); None where it was not evaluated."""
        for rung in reversed(self.rungs):
            if step is None or rung.step == step:
                return rung.scores.get(name)
        return None


@dataclass(frozen=True)
class Rejection:
    """A proposal that never became a trial."""

    before_trial: int
    kind: Literal["budget", "duplicate"]
    architecture_id: str
    parameters: int
    gmacs: float
    reason: str


@dataclass(repr=False)
class History:
    """What a record says."""

    header: dict[str, Any] = field(default_factory=dict)
    start_scores: dict[str, float] = field(default_factory=dict)
    real_scores: dict[str, float] = field(default_factory=dict)  # of images of the training split
    rejections: list[Rejection] = field(default_factory=list)
    by_key: dict[str, Trial] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)  # of the search, by number
    confirmations: list[Trial] = field(default_factory=list)
    shared: list[Trial] = field(default_factory=list)  # trainings that trials share
    inherited: dict[str, Any] = field(default_factory=dict)  # the last event of that name
    evolved: list[dict[str, Any]] = field(default_factory=list)  # events of that name, one a round
    prior: list[Trial] = field(default_factory=list)  # of earlier runs; not in `by_key`
    elsewhere: list[tuple[Trial, str, Any]] = field(default_factory=list)  # ranked with, by objectives
    by_architecture: dict[str, Trial] = field(default_factory=dict)  # the search's and prior, by id
    sessions: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        told = f"{len(self.trials)} trials, {len(self.confirmations)} confirmation runs"
        return f"History({self.header.get('name', '')}: {told}, {len(self.prior)} of earlier runs)"

    @property
    def known(self) -> list[Trial]:
        """What samplers and stopping rules learn from: trials of earlier runs, then the search's own."""
        return [*self.prior, *self.trials]

    def apply(self, event: Mapping[str, Any]) -> None:
        """Fold one event in. Events of kinds that are not known are ignored: a later version's."""
        kind = event["event"]
        if kind == "run":
            self.header = current(event)
        elif kind == "session":
            self.sessions.append(dict(event))
        elif kind == "start":
            self.start_scores, self.real_scores = dict(event["scores"]), dict(event.get("real", {}))
            self.header["protocol"] = event["protocol"]
        elif kind == "rejected":
            self.rejections.append(Rejection(**{k: event[k] for k in Rejection.__dataclass_fields__}))
        elif kind == "proposed":
            trial = _trial_of(event)
            self.by_key[trial.key] = trial
            if trial.purpose == "search":
                self.trials.append(trial)
                self.by_architecture.setdefault(event["architecture_id"], trial)
            elif trial.purpose == "supernet":
                self.shared.append(trial)
            else:
                self.confirmations.append(trial)
        elif kind == "inherited":
            self.inherited = dict(event)
        elif kind == "evolved":  # again where a driver was killed after it
            before = [each for each in self.evolved if each["step"] < event["step"]]
            self.evolved = [*before, dict(event)]
        elif kind == "rung":
            fields = {name: event[name] for name in Rung.__dataclass_fields__ if name != "deviations"}
            fields["deviations"] = event.get("deviations", {})
            self.by_key[event["key"]].rungs.append(Rung(**fields))
        elif kind == "ended":
            trial = self.by_key[event["key"]]
            trial.state, trial.reason, trial.ended = event["state"], event["reason"], event["time"]
        elif kind == "prior":
            self.prior.append(_whole(event))
            self.by_architecture.setdefault(event["architecture_id"], self.prior[-1])
        elif kind == "elsewhere":
            self.elsewhere.append((_whole(event), event["ranked_with"], event["objectives"]))


def _whole(event: Mapping[str, Any]) -> Trial:
    trial, rungs = _trial_of(event), [Rung(**rung) for rung in event["rungs"]]
    return replace(trial, rungs=rungs, **{name: event[name] for name in ("state", "reason", "ended")})


def _trial_of(event: Mapping[str, Any]) -> Trial:
    """A trial as a `proposed` or `prior` event names it."""
    return Trial(
        key=event["key"],
        number=event["number"],
        purpose=event["purpose"],
        name=event["name"],
        architecture=candidate_from_plain(event["architecture"]),
        cost=Cost(event["parameters"], event["macs"], event["attention_macs"]),
        seed=event["seed"],
        steps=event["steps"],
        source=event["source"],
        why=event.get("why", ""),
        params=event["params"],
        sampler_attributes=event["sampler_attributes"],
        proxy_parameters=event["proxy_parameters"],
        started=event.get("started", event["time"]),
    )


class MemoryRecord:
    """A record that is nowhere but in memory, its times by a clock of its own: for replay and simulation."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.history = History()
        self.listeners: list[Callable[[dict[str, Any], History], None]] = []

    def append(self, event_name: str, /, **fields: Any) -> None:
        """Fold one event into the history, then tell the listeners. `fields` hold plain data."""
        event = {"event": event_name, "time": round(self.clock(), 3)} | fields
        self._keep(event)
        self.history.apply(event)
        for listener in self.listeners:
            listener(event, self.history)

    def _keep(self, event: dict[str, Any]) -> None:
        """Called before the event counts."""


class Record(MemoryRecord):
    """The record file of a run folder, open for appending by one driver at a time.

    Each event is on the disk before `append` returns and before any of `listeners` hears of it. A torn
    last line, left by a driver that was killed while it wrote, is cut off: its event never happened. Where
    the storage is full or away, `append` says so to `announce`, waits and tries again.

    Raises:
        InputError: if the record cannot be written, another driver holds it, or a line in the middle is not
            an event.
        StorageAway: from `append`, when the storage did not come back while it waited.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(time.time)
        self.path = folder / RECORD_NAME
        self._lines = AppendedLines(self.path, lambda text: self.announce(text))
        self.announce: Callable[[str], None] = print
        try:
            self.history = read_history(folder)
        except InputError:
            self._lines.close()
            raise

    def close(self) -> None:
        self._lines.close()

    def _keep(self, event: dict[str, Any]) -> None:
        self._lines.append(json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a record, in order; a torn last line is left out."""
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            raise InputError(f"{path}: line {number} is not an event of a record")
        yield event


def read_history(folder: Path) -> History:
    """The history of a run folder, for reading only (a search may be writing to it).

    Raises:
        InputError: if the folder holds no record, or a line that is not an event.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        raise InputError(f"{folder}: no {RECORD_NAME} here; this is not a run folder of this platform")
    return folded(enumerate(read_events(path), 1), f"{path}: line")


def folded(events: Iterable[tuple[int, Mapping[str, Any]]], where: str) -> History:
    """What numbered events say, folded in order.

    Raises:
        InputError: one that is not an event of a record, with `where` and its number.
    """
    history = History()
    for number, event in events:
        try:
            history.apply(event)
        except (KeyError, TypeError, InputError) as error:
            raise InputError(f"{where} {number} is not an event of a record ({error})") from None
    return history

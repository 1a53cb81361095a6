"""What a run of a bundle was taught by other runs of it, by reference: a curve is in a bundle once.

A record holds every trial that it was taught whole, so that it suffices alone; most of what five searches
taught by two hundred networks say would be those networks, five times. In a bundle such an event says which
run holds the trial and what the copy goes by; what is no exact copy stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.runs.prior_event import prior_event
from search.runs.record import Trial, folded
from space.shared.plain import InputError

Event = Mapping[str, Any]
PRIOR_REFERENCE = "prior_of"  # the kind of the event that stands for a prior one
_OF_THE_COPY = ("time", "source", "name", "number")


def prior_as_references(runs: Mapping[str, Sequence[Event]]) -> dict[str, list[Event]]:
    """The events of each run, those of prior trials that another run trained as references to it."""
    held: dict[tuple[object, ...], tuple[str, Trial]] = {}
    for run, events in runs.items():
        for trial in _own_trials(run, events).values():
            held.setdefault(trial.identity, (run, trial))
    return {
        run: [_abridged(event, held) if event["event"] == "prior" else event for event in events]
        for run, events in runs.items()
    }


def _abridged(event: Event, held: Mapping[tuple[object, ...], tuple[str, Trial]]) -> Event:
    identity = (event["architecture_id"], event["seed"], event["started"])
    if identity not in held:
        return event
    run, trial = held[identity]
    short = {"event": PRIOR_REFERENCE, "run": run, "trial": trial.key} | {
        key: event[key] for key in _OF_THE_COPY
    }
    return short if _whole(short, trial) == event else event


def in_full(runs: Mapping[str, Sequence[Event]]) -> dict[str, list[Event]]:
    """The events of each run, with the prior trials that references stand for.

    Raises:
        InputError: a reference to a run, or to a trial of one, that is not there, or an event that is none.
    """
    held: dict[str, dict[str, Trial]] = {}

    def full(reader: str, event: Event) -> Event:
        if event["event"] != PRIOR_REFERENCE:
            return event
        if not event.keys() >= {"run", "trial", *_OF_THE_COPY}:
            raise InputError(f"{reader}: an event {PRIOR_REFERENCE} has only {', '.join(event)}")
        run, key = event["run"], event["trial"]
        if run not in held:
            held[run] = _own_trials(run, runs.get(run, ()))
        if key not in held[run]:
            raise InputError(f"{reader} is told of '{key} of {run}', which this bundle does not hold")
        return _whole(event, held[run][key])

    return {run: [full(run, event) for event in events] for run, events in runs.items()}


def _whole(reference: Event, trial: Trial) -> Event:
    time, *of_the_copy = (reference[key] for key in _OF_THE_COPY)
    return {"event": "prior", "time": time} | prior_event(trial, *of_the_copy)


def _own_trials(run: str, events: Sequence[Event]) -> dict[str, Trial]:
    """What a run trained itself, by key."""
    own = [
        (at, event) for at, event in enumerate(events, 1) if event["event"] in ("proposed", "rung", "ended")
    ]
    return folded(own, f"{run}: event").by_key

"""What a worker tells of a trial, one word after the other: reports, and what a person should know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from search.strategy import Report
from space.shared.retries import Waiting


@dataclass(frozen=True)
class StartsAgain:
    """A job whose state cannot be used trains again from step 0, and why."""

    reason: str


@dataclass(frozen=True)
class Said:
    """Such as that memory ran out. Nobody reads what a worker of a cluster prints."""

    text: str


WorkerWord = Report | Waiting | StartsAgain | Said


def told(said: list[str]) -> Iterator[Said]:
    """All of it, which is then gone."""
    while said:
        yield Said(said.pop(0))

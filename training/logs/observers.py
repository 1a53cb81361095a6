"""Who watches a training: told a part at a time, of what stays, as its state is written next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from space.shared.retries import once

Points = Mapping[int, Mapping[str, float]]
"""Values by name, by the step at which they stand, in rising order."""


@dataclass(frozen=True)
class Evaluated:
    """What a validation or a rung gave; `grid` is a file of samples side by side."""

    step: int
    scores: Mapping[str, float]
    grid: Path | None = None


class Observer(Protocol):
    """Of a training in a folder. Whatever its methods raise is said, and training goes on.

    Attributes:
        name: what it is called where that is said.
    """

    name: ClassVar[str]

    def begin(self, step: int) -> None:
        """Training goes on behind this step: what was told of later ones did not stay."""

    def part(self, points: Points, evaluated: Evaluated | None = None) -> None:
        """What the steps since the last time gave, and what was evaluated in the end: again, maybe, for a
        step that was evaluated before."""


class Observers:
    """Several as one, and none of them ends a training: what one raises is said once, in a line."""

    def __init__(self, observers: Iterable[Observer], say: Callable[[str], None]) -> None:
        self._observers, self._say = list(observers), once(say)

    def add(self, observer: Observer) -> None:
        """LoggedEvent of what comes after those before it."""
        self._observers.append(observer)

    def begin(self, step: int) -> None:
        self._tell(lambda each: each.begin(step))

    def part(self, points: Points, evaluated: Evaluated | None = None) -> None:
        self._tell(lambda each: each.part(points, evaluated))

    def _tell(self, what: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                what(observer)
            except Exception as error:  # whatever it is: of a log alone no training ends
                self._say(f"{observer.name}: {why(error)}; training goes on")


def why(error: BaseException) -> str:
    """In one line, without what differs from one time to the next."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__

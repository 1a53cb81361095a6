"""Of a log alone no training ends."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from training.logs.event_files import EventLog
from training.logs.observers import Evaluated, Observers, Points


class Broken:
    name: ClassVar[str] = "broken"

    def begin(self, step: int) -> None:
        raise OSError("away")

    def part(self, points: Points, evaluated: Evaluated | None = None) -> None:
        raise KeyError("of the library")


def test_what_fails_is_said_once_in_a_line_and_the_others_are_told(tmp_path: Path) -> None:
    said: list[str] = []
    observers = Observers([Broken(), EventLog(tmp_path)], said.append)
    observers.begin(0)
    for step in (1, 2, 3):
        observers.part({step: {"loss": 1.0}}, Evaluated(step, {"validation_loss": 1.0}))
    assert said == [
        "broken: OSError: away; training goes on",
        "broken: KeyError: 'of the library'; training goes on",
    ]
    assert len(list(tmp_path.iterdir())) == 1

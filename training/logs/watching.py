"""A training that is watched: what its steps and evaluations give, told to all who asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.logs.event_files import EventLog
from training.logs.meter import Meter, average_gap
from training.logs.observers import Evaluated, Observer, Observers
from training.loop import TrainingLoop
from training.state import TrainingState


class Watched:
    """Of one training in its folder: `step` follows each step, `tell` comes before a state is written.

    Args:
        loop: the training at work, which may be another one later.
        writes: whether TensorBoard's files are written: of several workers, by the first.
    """

    def __init__(
        self,
        loop: Callable[[], TrainingLoop[Any]],
        folder: Path,
        say: Callable[[str], None],
        *,
        writes: bool = True,
    ) -> None:
        self._meter = Meter(loop)
        self._observers = Observers([EventLog(folder)] if writes else [], say)

    def add(self, observer: Observer) -> None:
        """LoggedEvent of what comes after those before it."""
        self._observers.add(observer)

    def begin(self, step: int) -> None:
        """Training goes on behind this step: what came of later ones did not stay."""
        self._meter.drop()
        self._observers.begin(step)

    def start(self) -> None:
        """Steps follow; the time since the last one was not theirs."""
        self._meter.start()

    def step(self, step: int, loss: float) -> None:
        self._meter.step(step, loss)

    def tell(
        self, state: TrainingState, scores: Mapping[str, float] | None = None, grid: Path | None = None
    ) -> None:
        """What the steps to a state gave, and the scores of its averaged weights, where they were evaluated;
        `grid` is a file of samples side by side."""
        evaluated = None
        if scores is not None:
            evaluated = Evaluated(state.step, {**scores, "ema_gap": average_gap(state)}, grid)
        self._observers.part(self._meter.points(), evaluated)

    def leave(self) -> None:
        """What the last steps gave, of a training that has failed: a curve shows how it came to that."""
        self._observers.part(self._meter.points())

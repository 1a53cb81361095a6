"""Networks measured whole in two visits each, so that it is known how far a time agrees with itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from evaluators.latency.journal import Journal
from evaluators.latency.runtimes import Place, runner
from evaluators.latency.timing import Clock, TimedRun, alternating
from evaluators.latency.whole import unet_inputs, unet_module
from space.architecture import Architecture


class _Visited:
    """A network ready to be timed, in a folder of its own."""

    def __init__(self, a: Architecture, runtime: str, place: Place, clock: Clock) -> None:
        self.a, self.clock, self.own = a, clock, ExitStack()
        folder = Path(self.own.enter_context(TemporaryDirectory(prefix="mdsearch-latency-")))
        with torch.device(place.device):
            module = unet_module(a)
        self.run: TimedRun = runner(module, unet_inputs(a), runtime, place, folder)

    def times(self, rounds: int) -> list[float]:
        return list(alternating({"": self.run}, rounds, clock=self.clock)[""].times)


def measure_twice(
    networks: Sequence[Architecture],
    runtime: str,
    place: Place,
    journal: Journal,
    *,
    rounds: int,
    clock: Clock,
    on_done: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """`times_ms` and `again_ms` of each into the journal, but for what it holds. A network is visited again
    when the next one has been made and timed: a minute later, and without a second export.

    Raises:
        OSError: the journal cannot be written.
    """
    left = [a for a in networks if a.id not in journal.results]
    before: tuple[_Visited, list[float]] | None = None
    for number, a in enumerate([*left, None]):
        on_done(len(networks) - len(left) + max(0, number - 1), len(networks))
        now = None
        if a is not None:
            visited = _Visited(a, runtime, place, clock)
            now = visited, visited.times((rounds + 1) // 2)
        if before is not None:
            visited, first = before
            with visited.own:
                again = visited.times(max(1, rounds // 2))
            journal.add(visited.a.id, times_ms=first, again_ms=again)
        before = now
    on_done(len(networks), len(networks))

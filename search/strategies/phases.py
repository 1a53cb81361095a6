"""Several strategies as one: the search, and then the confirmation of its winners."""

from __future__ import annotations

from collections.abc import Callable

from search.runs.record import State
from search.strategy import Decision, Job, Report, Strategy


class Phases:
    """Strategies one after the other, as one: the next is made when the one before has finished.

    Backends keep their workers from one phase to the next.
    """

    def __init__(self, first: Strategy, *then: Callable[[], Strategy]) -> None:
        self.phases: list[Strategy] = [first]
        self.waiting = list(then)

    def propose(self) -> Job | None:
        job = self.phases[-1].propose()
        while job is None and self.phases[-1].finished and self.waiting:
            self.phases.append(self.waiting.pop(0)())
            job = self.phases[-1].propose()
        return job

    def judge(self, key: str, report: Report) -> Decision:
        return self.phases[-1].judge(key, report)

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        self.phases[-1].take_result(key, state, reason)

    @property
    def parts(self) -> list[Strategy]:
        """Those that were made so far, also within one that is phases itself."""
        nested = (phase.parts if isinstance(phase, Phases) else [phase] for phase in self.phases)
        return [part for parts in nested for part in parts]

    @property
    def finished(self) -> bool:
        return self.phases[-1].finished and all(make().finished for make in self.waiting)

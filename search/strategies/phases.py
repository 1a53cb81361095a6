"""Several strategies as one: the search, and then the confirmation of its winners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from search.runs.files import SHARED_KEY
from search.runs.record import MemoryRecord, State
from search.strategy import Decision, Job, Report, Strategy
from space.candidates import Candidate


class Phases:
    """Strategies one after the other, as one: the next is made when the one before has finished.

    Backends keep their workers from one phase to the next. `scores` of an architecture, which need no
    training, join those that a worker reports.
    """

    def __init__(
        self,
        first: Strategy,
        *then: Callable[[], Strategy],
        scores: Callable[[Candidate], dict[str, float]] = lambda a: {},
        record: MemoryRecord | None = None,
    ) -> None:
        self.phases: list[Strategy] = [first]
        self.waiting = list(then)
        self.scores, self.record = scores, record

    def propose(self) -> Job | None:
        job = self.phases[-1].propose()
        while job is None and self.phases[-1].finished and self.waiting:
            self.phases.append(self.waiting.pop(0)())
            job = self.phases[-1].propose()
        return job

    def judge(self, key: str, report: Report) -> Decision:
        if self.record is not None and key != SHARED_KEY:  # whose network is no candidate
            architecture = self.record.history.by_key[key].architecture
            report = replace(report, scores=report.scores | self.scores(architecture))
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

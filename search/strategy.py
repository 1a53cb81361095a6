"""What drives a search, as a plain object that knows no backend: propose, judge a rung, take a result.

A backend asks `propose` for jobs while it has capacity, reports each evaluation to `judge`, and tells how a
job ended with `take_result`. Everything that happens is in the record before the backend hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from search.runs.record import Purpose, State
from space.architecture import Architecture
from space.candidates import Candidate
from space.paths import Paths
from space.subnet import Subnet


@dataclass(frozen=True)
class SharedTraining:
    """What a job trains that is no candidate: in rounds, each of some paths until a step, at a learning rate
    with this `decay` over so many `steps`. At the job's last rung `candidates` are scored with what they
    inherit: by the loss on so many held-out images, and by generated `images` if that is true."""

    rounds: tuple[tuple[Paths, int], ...]
    candidates: tuple[Architecture | Subnet, ...]
    steps: int
    decay: Literal["none", "linear", "cosine"]
    validation_images: int
    images: bool = False


@dataclass(frozen=True)
class Job:
    """A training run that a backend should start or go on with: plain enough to travel to a worker. Where it
    is `shared`, `architecture` is the largest that is trained."""

    key: str
    purpose: Purpose
    name: str
    architecture: Candidate
    seed: int
    rungs: tuple[int, ...]
    shared: SharedTraining | None = None


@dataclass(frozen=True)
class Report:
    """What a worker measured at a rung; `deviations` of scores are those of resampled images, `inherited` the
    scores of a shared training's candidates, in their order."""

    step: int
    scores: dict[str, float]
    seconds: dict[str, float]
    deviations: dict[str, float] = field(default_factory=dict)
    inherited: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True)
class Decision:
    """What becomes of a job after a rung."""

    word: Literal["continue", "halt", "end"]
    reason: str = ""


class Strategy(Protocol):
    """The three verbs, and whether there will be more to do."""

    def propose(self) -> Job | None:
        """The next job; None when there is none now (and, if `finished`, never will be)."""
        ...

    def judge(self, key: str, report: Report) -> Decision:
        """Called after each evaluation of a job, in order. A rung reported again, by a job that went on
        from before it, gets the decision that was recorded."""
        ...

    def take_result(self, key: str, state: State, reason: str = "") -> None:
        """Called once when a job has ended, however it did."""
        ...

    @property
    def finished(self) -> bool: ...

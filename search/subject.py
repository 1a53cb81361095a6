"""What a search is of: UNets, or decoders of one encoder. All else of a search is the same for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from search.backends.cluster import ClusterSettings
from search.confirmation.confirmation import ConfirmationSettings
from search.display import Display
from search.objectives import Objectives
from search.runs.record import Record
from search.samplers.base import MakesSampler
from search.stopping.base import MakesRule
from search.strategies.phases import Phases
from search.worker import WorkerSettings
from space.budget import Budget
from training.data.dataset import Dataset


class DrivenSettings(Protocol):
    """What the drive from settings to a report reads of them."""

    @property
    def budget(self) -> Budget: ...
    @property
    def objectives(self) -> Objectives: ...
    @property
    def sampler(self) -> MakesSampler: ...
    @property
    def stopping(self) -> MakesRule: ...
    @property
    def confirmation(self) -> ConfirmationSettings: ...
    @property
    def cluster(self) -> ClusterSettings: ...
    @property
    def backend(self) -> str: ...
    @property
    def trials(self) -> int: ...


@dataclass(frozen=True)
class Prepared:
    """What workers receive, how scores are measured, and what gives those of an untrained network and of real
    images (none: they are not asked for)."""

    worker: WorkerSettings
    protocol: dict[str, Any]
    protocol_id: str
    start: Callable[[], dict[str, float]]
    real: Callable[[], dict[str, float]] = dict


class Subject(Protocol):
    """One search's, with its settings. A further subject is one more class like this (`search.subjects`)."""

    @property
    def settings(self) -> DrivenSettings: ...

    def check(self) -> Dataset:
        """The data, once it is sure that the settings can work. Raises InputError."""
        ...

    def claim(self, data: Dataset) -> Path:
        """The run folder, new or to be gone on with. Raises InputError."""
        ...

    def header(self, folder: Path, overrides: list[str]) -> Mapping[str, Any]:
        """What the record begins with."""
        ...

    def prepare(self, data: Dataset, folder: Path, display: Display) -> Prepared:
        """All that trials share, in the run folder. Raises InputError."""
        ...

    def notes(self) -> Sequence[str]:
        """What a person should know of the settings before the first trial."""
        ...

    def begin_session(self, record: Record, display: Display) -> Mapping[str, Any]:
        """What is known before the first trial, into the record; returns what the session's event says."""
        ...

    def phases(self, record: Record) -> Phases: ...

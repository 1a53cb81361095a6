"""MLflow and Weights & Biases, behind one interface; which runs of theirs a folder has, is kept in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from space.shared.files import write_whole
from space.shared.plain import InputError
from training.logs.observers import Points

TrackerName = Literal["mlflow", "wandb"]
TRACKERS = {"mlflow": "training.logs.to_mlflow:Mlflow", "wandb": "training.logs.to_wandb:WeightsAndBiases"}
TRACKED_NAME = "tracked.json"
HowEnded = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Described:
    """What a run is, as it is begun.

    Attributes:
        key: tells it from others of the same folder.
        job: train, search, trial, confirm or supernet.
        params: what was chosen, settings within settings too.
        within: the run of the tracker that it is nested in, and what that one is called.
    """

    key: str
    name: str
    job: str
    params: Mapping[str, Any] = field(default_factory=dict)
    within: tuple[str, str] | None = None


class TrackedRun(Protocol):
    """A run of a tracker, open for writing. Its methods raise whatever its library raises.

    Attributes:
        kept: what lets another process go on with it, plain data; it changes as the run is written to.
    """

    kept: Any

    @property
    def id(self) -> str: ...

    def log(self, points: Points) -> None:
        """Those of them that it does not hold yet."""

    def log_image(self, step: int, name: str, png: bytes) -> None:
        """Unless it holds it already; what was measured at that step has been logged."""

    def log_files(self, files: Iterable[Path]) -> None: ...

    def end(self, how: HowEnded, reason: str = "") -> None: ...


class Tracker(Protocol):
    """A place where runs are. `name` is that of its settings; `place` tells one server from another."""

    name: ClassVar[str]
    place: str

    def open(self, what: Described, kept: Any, folder: Path) -> TrackedRun:
        """Go on with the run that was `kept`; begin one where there is none, or it is gone."""


def tracker(name: str) -> Tracker:
    """Raises whatever its library raises, with a server that is away for instance."""
    module, _, kind = TRACKERS[name].partition(":")
    made: Tracker = getattr(import_module(module), kind)()
    return made


def check_trackers(names: Iterable[str]) -> None:
    """Raises InputError for one whose library is not there, or a name given twice."""
    named = list(names)
    for name in named:
        if find_spec(name) is None:
            raise InputError(f"logger: {name} is not installed; needed: pip install 'mdsearch[{name}]'")
        if named.count(name) > 1:
            raise InputError(f"logger: {name} is named twice; leave out one of them")


class KeptRuns:
    """Which runs of a tracker belong to a folder, by key."""

    def __init__(self, folder: Path, tracker: Tracker) -> None:
        self._file, self._of = folder / TRACKED_NAME, f"{tracker.name} {tracker.place}".strip()

    def get(self, key: str) -> Any:
        return self._all().get(self._of, {}).get(key)

    def set(self, key: str, kept: Any) -> None:
        """Raises OSError."""
        known = self._all()
        own = known.setdefault(self._of, {})
        if key not in own or own[key] != kept:
            own[key] = kept
            write_whole(self._file, json.dumps(known, indent=1))

    def _all(self) -> dict[str, dict[str, Any]]:
        try:
            plain = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return plain if isinstance(plain, dict) else {}


def dotted_params(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, lists as text.

    >>> dotted_params({"a": {"b": 1}, "c": [2, 3]})
    {'a.b': 1, 'c': '[2, 3]'}
    """
    found: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, Mapping):
            found |= dotted_params(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, (list, tuple)) else value
    return found

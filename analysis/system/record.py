"""What the folder of a built system says of itself: which stages were made, by which words, in which time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, to_plain

BUILD_NAME = "build.json"
PAGE_NAME = "system.html"
LATENCY_ENDING = ".json"  # of what mdsearch latency measures here


@dataclass(frozen=True)
class MadeStage:
    """A command that a system consists of.

    Attributes:
        words: of the command, as it is begun.
        paths: names of words -> paths, of those that name the folder of another stage, or its own.
        making: of what it leaves; another once that is made anew.
        reads: stage -> the making that it was made of, or the path of what stands in its place.
        seconds: in all sessions together.
    """

    command: str
    words: tuple[str, ...]
    folder: str
    paths: dict[str, str]
    making: str
    reads: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    sessions: int = 0
    finished: bool = False


@dataclass(frozen=True)
class BuildRecord:
    """Stages by name, in their order."""

    name: str
    stages: dict[str, MadeStage] = field(default_factory=dict)

    def by(self, command: str) -> Iterator[tuple[str, MadeStage]]:
        """The finished stages of a command."""
        for name, stage in self.stages.items():
            if stage.command == command and stage.finished:
                yield name, stage

    def with_stage(self, name: str, stage: MadeStage) -> BuildRecord:
        return replace(self, stages={**self.stages, name: stage})

    def ordered(self, names: Mapping[str, object]) -> BuildRecord:
        """Stages in the order of these names, without any other."""
        return replace(self, stages={name: self.stages[name] for name in names if name in self.stages})

    def save(self, folder: Path) -> None:
        """Raises InputError where it cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / BUILD_NAME, json.dumps(to_plain(self), indent=1) + "\n")
        except OSError as error:
            raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def read_build(folder: Path) -> BuildRecord | None:
    """None where nothing has been built. Raises InputError where the record cannot be read."""
    file = folder / BUILD_NAME
    if not file.is_file():
        return None
    try:
        record: BuildRecord = from_plain(BuildRecord, json.loads(file.read_text(encoding="utf-8")))
        return record
    except (OSError, ValueError, InputError) as error:
        raise InputError(f"{file}: cannot be read as the record of a system: {error}") from None

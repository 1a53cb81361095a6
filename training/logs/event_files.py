"""TensorBoard's files: what a training tells is appended to them, and what did not stay is cut off.

A file holds records of a length, its checksum, an event and its checksum. Events rise by step, so that
cutting is shortening, in whichever process a training goes on.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from training.logs.observers import Evaluated, Points

PATTERN = "events.out.tfevents.*"
SAMPLES_TAG = "samples"
LOSS_TAG = "loss"  # of every point of training, and of nothing else
MOST_PIXELS = 1024  # a side of a sheet of samples: larger ones take seconds to write, and too long to load
_AROUND = 16  # bytes of a record beside its event


@dataclass(frozen=True)
class LoggedEvent:
    """What one event holds."""

    step: int
    values: dict[str, float] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)  # PNG


class EventLog:
    """An observer that writes events into the folder of a training, for `tensorboard --logdir`.

    What could not be written is kept, and written the next time.
    """

    name: ClassVar[str] = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._measured: set[int] = set()
        self._waiting = b""

    def begin(self, step: int) -> None:
        _cut(self._folder, step)
        told = EventReader(self._folder).new()
        self._measured = {event.step for event in told if LOSS_TAG not in event.values}
        self._path, self._waiting = None, b""
        if told:  # so that a TensorBoard that is open forgets them, too
            self._put(_events().Event(step=step + 1, wall_time=time.time(), session_log=_start()))
            self._write()

    def part(self, points: Points, evaluated: Evaluated | None = None) -> None:
        for step, values in points.items():
            self._put(_event(step, values))
        if evaluated is not None and evaluated.step not in self._measured:
            self._measured.add(evaluated.step)
            self._put(_event(evaluated.step, evaluated.scores, evaluated.grid))
        self._write()

    def _put(self, event: Any) -> None:
        self._waiting += _record(event.SerializeToString())

    def _write(self) -> None:
        """All that waits, or nothing of it. Raises OSError."""
        if not self._waiting:
            return
        if self._path is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            own = f"{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
            self._path = self._folder / PATTERN.replace("*", own)
        version = _events().Event(wall_time=time.time(), file_version="brain.Event:2")
        with self._path.open("ab") as file:
            before = file.tell()
            try:
                file.write((b"" if before else _record(version.SerializeToString())) + self._waiting)
                file.flush()
            except OSError:
                file.truncate(before)
                raise
        self._waiting = b""


class EventReader:
    """What the events of a folder say: `new` gives those since the last time that `accept` was called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[Path, int] = {}
        self._accepted: dict[Path, int] = {}

    def new(self) -> list[LoggedEvent]:
        """In the order of the files. An event that is still being written comes the next time."""
        self._ends, told = dict(self._accepted), []
        for path in _files(self._folder):
            for end, event in _events_in(path, self._accepted.get(path, 0)):
                self._ends[path] = end
                if event.HasField("summary"):
                    told.append(_told(event))
        return told

    def accept(self) -> None:
        """What `new` gave last is not given again."""
        self._accepted = dict(self._ends)


def _told(event: Any) -> LoggedEvent:
    told = LoggedEvent(event.step)
    for value in event.summary.value:
        if value.HasField("image"):
            told.images[value.tag] = value.image.encoded_image_string
        else:
            told.values[value.tag] = float(f"{value.simple_value:.7g}")  # it was of four bytes
    return told


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(PATTERN))


def _cut(folder: Path, step: int) -> None:
    """Off goes what is of later steps, and what a killed process left half written."""
    for path in _files(folder):
        end = 0
        for after, event in _events_in(path):
            if event.step > step:
                break
            end = after
        if end < path.stat().st_size:
            os.truncate(path, end)


def _events_in(path: Path, start: int = 0) -> Iterator[tuple[int, Any]]:
    """Each whole one from a place in the file on, with the place behind it."""
    from google.protobuf.message import DecodeError

    with path.open("rb") as file:
        file.seek(start)
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if head[8:] != _checksum(head[:8]):
                return
            data = file.read(length + 4)
            if len(data) < length + 4:
                return
            start += length + _AROUND
            try:
                yield start, _events().Event.FromString(data[:-4])
            except DecodeError:
                return


def _record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + _checksum(head) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    from tensorboardX.record_writer import masked_crc32c

    return struct.pack("<I", masked_crc32c(data))


def _event(step: int, values: Mapping[str, float], grid: Path | None = None) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    found = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    if grid is not None and grid.is_file():
        found.append(Summary.Value(tag=SAMPLES_TAG, image=_image(grid, Summary)))
    return _events().Event(step=step, wall_time=time.time(), summary=Summary(value=found))


def _image(grid: Path, summary: Any) -> Any:
    from PIL import Image

    with Image.open(grid) as image:
        shown = image.convert("RGB")
    data = grid.read_bytes()
    if max(shown.size) > MOST_PIXELS:
        shown.thumbnail((MOST_PIXELS, MOST_PIXELS))
        shown.save(made := io.BytesIO(), "PNG")
        data = made.getvalue()
    return summary.Image(height=shown.height, width=shown.width, colorspace=3, encoded_image_string=data)


def _start() -> Any:
    return _events().SessionLog(status=_events().SessionLog.START)


def _events() -> Any:
    """Where there is no tensorboardX, training says so and goes on."""
    from tensorboardX.proto import event_pb2

    return event_pb2

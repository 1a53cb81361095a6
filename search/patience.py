"""What a search does about storage that is full, read-only or away: it waits for a while, and says so.

Disks fill up, servers restart and mounts drop out; none of that is a trial's fault, and most of it passes.
Whoever writes into the run folder tries again for `PATIENCE_SECONDS`, and then ends with what is recorded.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from space.plain import InputError

PATIENCE_SECONDS = 20 * 60.0
LONGEST_PAUSE_SECONDS = 60.0
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EREMOTEIO", "ENODEV", "ENXIO",
        "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH",
    )
)  # fmt: skip


class StorageAway(InputError):
    """Storage was full or away for longer than a search waits. What is recorded is safe."""


@dataclass(frozen=True)
class Waiting:
    """A worker's word that it waits for storage, and why; its next report follows later."""

    reason: str


def may_pass(error: BaseException) -> bool:
    """Whether an error is of storage that is full, read-only or away, and not of what was written."""
    return isinstance(error, OSError) and error.errno in _PASSING


def reason_of(error: OSError) -> str:
    """In one line: the file, if the system names one, and what is wrong with it."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


def pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt: 1, 2, 4, ... a minute, `PATIENCE_SECONDS` in all."""
    spent, pause = 0.0, 1.0
    while spent < PATIENCE_SECONDS:
        yield pause
        spent += pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def how_long() -> str:
    """For messages."""
    return f"{PATIENCE_SECONDS / 60:g} minutes"


def going_on(folder: object) -> str:
    """How to go on, for the end of a message."""
    return f"nothing that was recorded is lost; go on with: python -m search resume={folder}"

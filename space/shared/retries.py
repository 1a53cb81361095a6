"""What a search does about storage that is full, read-only or away: it waits for a while, and says so.

Disks fill up, servers restart and mounts drop out; none of that is a trial's fault, and most of it passes.
Whoever writes into the run folder tries again for `PATIENCE_SECONDS`, and then ends with what is recorded.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from space.shared.command_lines import command_line
from space.shared.plain import InputError

PATIENCE_SECONDS = 20 * 60.0
LONGEST_PAUSE_SECONDS = 60.0
T = TypeVar("T")
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EREMOTEIO",
        "ENODEV", "ENXIO", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH",
    )
)  # fmt: skip


class StorageAway(InputError):
    """Storage was full or away for longer than a search waits. What is recorded is safe."""


@dataclass(frozen=True)
class Waiting:
    """A worker's word that it waits for storage, and why; its next report follows later."""

    reason: str


def storage_error(error: BaseException) -> OSError | None:
    """The error of storage that is full, away or not to be written from which this one came, if one did:
    itself, or what was being handled when it was raised. None for all else."""
    for cause in causes(error):
        number = cause.errno if isinstance(cause, OSError) else _written_out(cause)
        if number is not None and number in _PASSING:
            return cause if isinstance(cause, OSError) else OSError(number, os.strerror(number))
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came from, and so on, each once: `raise error from error` makes one its own cause."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _written_out(error: BaseException) -> int | None:
    """Libraries in Rust, safetensors among them, say the number in the text alone."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def reason_of(error: OSError) -> str:
    """In one line: the file, if the system names one, and what is wrong with it."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


def pauses(patience_seconds: float | None = None) -> Iterator[float]:
    """Seconds to wait before each further attempt: 1, 2, 4, ... a minute, so many in all; `PATIENCE_SECONDS`
    if none are stated."""
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    spent, pause = 0.0, 1.0
    while spent < patience:
        yield pause
        spent += pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def patiently(work: Callable[[], T]) -> Generator[Waiting, None, T]:
    """Do some work; where storage fails it, say so, wait, and do it again.

    Raises:
        Exception: what the work raised, when it was of another kind, or storage did not come back.
    """
    left = pauses()
    while True:
        try:
            return work()
        except Exception as error:
            trouble, pause = storage_error(error), next(left, None)
            if trouble is None or pause is None:
                raise
        yield Waiting(reason_of(trouble))
        time.sleep(pause)


def once(say: Callable[[str], None]) -> Callable[[str], None]:
    """`say`, but nothing twice."""
    said: set[str] = set()

    def say_if_new(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_if_new


def waiting_time() -> str:
    """For messages."""
    return f"{PATIENCE_SECONDS / 60:g} minutes"


def resume_hint(folder: object) -> str:
    """How to go on, for the end of a message."""
    return f"nothing that was recorded is lost; go on with: {resume_command(folder)}"


def resume_command(folder: object) -> str:
    """What to type to go on with a run."""
    return command_line("search", resume=folder)


def timed_out(what: str, reason: str, folder: object) -> StorageAway:
    """The error to raise when the waiting is over."""
    return StorageAway(f"{what}: gave up after {waiting_time()}: {reason}; {resume_hint(folder)}")

"""A folder for sockets, whose paths the system wants short: with a long TMPDIR it is another one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from space.shared.plain import InputError

LONGEST_PATH = 107  # bytes, on Linux


def socket_folder(inside: str, named: str = "TMPDIR") -> Path:
    """The folder that this variable, TMPDIR or the system names for temporary files, or else a shorter one.

    Args:
        inside: the longest path of a socket below it.

    Raises:
        InputError: no folder will do.
    """
    own = os.environ.get(named) or os.environ.get("TMPDIR") or "/tmp"
    folder = next((folder for folder in (Path(own), *_short_folders()) if _will_do(folder, inside)), None)
    if folder is None:
        raise InputError(
            f"{named}: {own!r} is too long for a socket, or cannot be written, as are /tmp, /var/tmp and "
            f"/dev/shm; allowed: a folder of up to {_room(inside)} bytes"
        )
    return folder


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Those of this process and of the processes it starts meanwhile."""
    here, told = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = here
        if told is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = told


def _short_folders() -> Iterator[Path]:
    yield from map(Path, ("/tmp", "/var/tmp", "/dev/shm"))


def _room(inside: str) -> int:
    return LONGEST_PATH - len(inside) - 1


def _will_do(folder: Path, inside: str) -> bool:
    first = folder / inside.partition("/")[0]  # another user's, perhaps
    writable = first if first.is_dir() else folder
    return (
        len(os.fsencode(folder)) <= _room(inside)
        and writable.is_dir()
        and os.access(writable, os.W_OK | os.X_OK)
    )

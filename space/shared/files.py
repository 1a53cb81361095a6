"""Files that are there whole or not at all, whoever reads or writes them at the same time."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A folder that no other process holds so while the block runs; on storage without locks, whoever does.

    Raises:
        BlockingIOError: another process does.
        OSError: it is no folder, or cannot be read.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(held)


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to; once the block is done it becomes `path`, or is gone if it failed.

    Its name is that of `path` behind a dot, and random digits behind another: what a killed process leaves
    can be found by that. Whoever may read what `open` makes here may read it too, as the umask says.

    Args:
        durable: wait until the disk has it, or a power cut may leave the name and nothing in it.

    Raises:
        OSError: it cannot be written; the old file is then as it was.
    """
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield own
        _readable_as_any_other(own)
        if durable:
            with own.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)


def _readable_as_any_other(file: Path) -> None:
    """Some libraries, safetensors among them, make files that their owner alone may read."""
    if file.stat().st_mode & 0o077:
        return
    usual = file.with_name(f"{file.name}.usual")
    try:
        usual.touch()
        file.chmod(usual.stat().st_mode & 0o777)
    finally:
        usual.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> Path:
    """Write a file, text as UTF-8; a reader sees the old one or the new one, never half of it.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path, durable=durable) as own:
        own.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path

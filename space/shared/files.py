"""Files that are there whole or not at all, whoever reads or writes them at the same time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
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
        readable_as_any_other(own)
        if durable:
            with own.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)


UNFINISHED = ".writing-"  # what a killed process left half written is in folders of this name


@contextmanager
def replacing_files(folder: Path, last: str) -> Iterator[Path]:
    """A folder to write files to. Once the block is done the disk has them, and they take their places in
    `folder` one by one, each whole and that named `last` after the others; if it failed, nothing has changed.

    Raises:
        OSError: they cannot be written.
    """
    own = Path(tempfile.mkdtemp(dir=folder, prefix=UNFINISHED))
    try:
        yield own
        for file in sorted(own.iterdir(), key=lambda file: file.name == last):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """What killed processes left of `replacing_files`; not while one of them writes."""
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def making_folder(folder: Path) -> Iterator[Path]:
    """A path beside `folder` to make a folder at, which becomes `folder` once the block is done.

    Raises:
        OSError: it cannot be written, or `folder` holds files, maybe of another process; these stay.
    """
    own = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        yield own
        os.rename(own, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def readable_as_any_other(file: Path) -> None:
    """Some libraries, safetensors among them, make files that their owner alone may read."""
    if file.stat().st_mode & 0o077:
        return
    usual = file.with_name(f"{file.name}.usual")
    try:
        usual.touch()
        file.chmod(usual.stat().st_mode & 0o777)
    finally:
        usual.unlink(missing_ok=True)


def folders_beside(folder: Path, file: str) -> list[str]:
    """Names of the folders in the same place that hold such a file: what may have been meant."""
    return sorted(each.parent.name for each in folder.absolute().parent.glob(f"*/{file}"))


def file_digest(path: Path) -> bytes:
    """The SHA-256 of what is in a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> Path:
    """Write a file, text as UTF-8; a reader sees the old one or the new one, never half of it.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path, durable=durable) as own:
        own.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path

"""Where what can be had again is kept between commands. No command ends for want of a place: without a home
folder, or where it cannot be written, things are kept among the temporary files of this user."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from pathlib import Path


def cache_folder(named: str | None, *inside: str) -> Path:
    """The folder that was named, or that of these names in ~/.cache/mdsearch."""
    if named:
        return Path(named).expanduser()
    try:
        return Path.home().joinpath(".cache", "mdsearch", *inside)
    except RuntimeError:  # HOME is not set, and the system does not know this user
        return _temporary().joinpath(*inside)


def to_keep(path: Path) -> Path:
    """`path`, if it is there or can be written; else a path of its name among temporary files, which is said
    once a folder."""
    if path.exists() or _writable(path.parent):
        return path
    _say_where(path.parent, _temporary())
    return _temporary() / path.name


def _writable(folder: Path) -> bool:
    """Whether it can be written or made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


@cache
def _say_where(folder: Path, instead: Path) -> None:
    print(f"note: {folder} cannot be written; what belongs there is kept in {instead}", file=sys.stderr)


@cache
def _temporary() -> Path:
    """This user's alone, the same for later commands; another one where somebody else has it."""
    folder = Path(tempfile.gettempdir()) / f"mdsearch-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        own = folder.lstat().st_uid == os.getuid() and folder.is_dir() and os.access(folder, os.W_OK)
    except OSError:
        own = False
    return folder if own else Path(tempfile.mkdtemp(prefix="mdsearch-"))

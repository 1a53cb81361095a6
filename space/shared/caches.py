"""Folders for what can be made or fetched again: none of them ever ends a command."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

USUAL = "~/.cache/mdsearch"


def cache_folder(stated: str | None, *parts: str) -> Path:
    """As stated, or else the usual one; where that cannot be written, one of this user's that is temporary.

    >>> str(cache_folder("/data/cache", "weights"))
    '/data/cache'
    """
    if stated is not None:
        return Path(stated).expanduser()
    usual = usual_cache(*parts)
    return usual if can_be_written(usual) else own_temporary("cache").joinpath(*parts)


def usual_cache(*parts: str) -> Path:
    try:
        return Path(USUAL, *parts).expanduser()
    except RuntimeError:  # neither HOME nor an entry of this user
        return own_temporary("cache").joinpath(*parts)


def can_be_written(folder: Path) -> bool:
    """Whether files can be written to a folder that is there or is to be made."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def own_temporary(name: str) -> Path:
    """A temporary folder of this user's, the same in every process unless another user has taken its name."""
    folder = Path(tempfile.gettempdir()) / f"mdsearch-{name}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        taken = folder.is_symlink() or folder.stat().st_uid != os.getuid()
    except FileExistsError:
        taken = True
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}-")) if taken else folder

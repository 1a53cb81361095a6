"""Whether a disk has room, before something large is written."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from space.shared.plain import InputError


def disk_free_bytes(folder: Path) -> int:
    """Free space where a folder is or would be."""
    existing = next(parent for parent in [folder.resolve(), *folder.resolve().parents] if parent.exists())
    return shutil.disk_usage(existing).free


def refuse_little_disk(needed_bytes: int, folder: Path | None = None) -> None:
    """Raises InputError where less is free: in a folder, or where temporary files go."""
    where = Path(tempfile.gettempdir()) if folder is None else folder
    free = disk_free_bytes(where)
    if free < needed_bytes:
        hint = "" if folder else "; TMPDIR names another place"
        raise InputError(f"{where}: {free / 1e9:.1f} GB are free; needed: {needed_bytes / 1e9:.1f} GB{hint}")

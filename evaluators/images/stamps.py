"""Whether a file of images has changed."""

from __future__ import annotations

from pathlib import Path


def file_stamp(path: Path) -> str:
    """Size and time of the last change; \"missing\" where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"

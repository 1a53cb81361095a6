"""In which order images stand, and whether a file of theirs has changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorted with numbers by their value, so that `img2` comes before `img10`."""

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", name)  # text and digits take turns, so tuples at one place compare alike
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name

    return sorted(names, key=key)


def file_stamp(path: Path) -> str:
    """Size and time of the last change; \"missing\" where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"

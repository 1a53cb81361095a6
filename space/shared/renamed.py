"""Names that were changed, and are understood for one release more."""

from __future__ import annotations

import sys
from functools import cache


@cache
def note_renamed(old: str, new: str) -> None:
    """Say so, once a process, beside what a command prints."""
    print(f"note: {old} is now {new}; the old name goes with the next release", file=sys.stderr)

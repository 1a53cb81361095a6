"""Where worker processes look for modules, beside where this one does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FIRST: list[str] = []  # before all else: set where a file of the user's hides a package of ours


@contextmanager
def path_for_workers() -> Iterator[None]:
    """While they start, `sys.path` is as they shall have it: they are told of it. A fork server is not, and
    begins as `python -c`, which would look in the current folder first."""
    if not FIRST:
        yield
        return
    before, safe = sys.path[:], os.environ.get("PYTHONSAFEPATH")
    sys.path[:0] = FIRST
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        sys.path[:] = before
        del os.environ["PYTHONSAFEPATH"]
        if safe is not None:
            os.environ["PYTHONSAFEPATH"] = safe

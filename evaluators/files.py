"""Files that are there whole or not at all, whoever else writes them at the same time."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; once the block is done it becomes `path`, or is gone if it failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        yield own
        os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)

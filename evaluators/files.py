"""Files that are there whole or not at all, whoever else writes them at the same time."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; once the block is done it becomes `path`, or is gone if it failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        yield own
        with own.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut may leave the name and nothing in it
        os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)


def save_arrays(arrays: Mapping[str, np.ndarray], path: Path, about: Mapping[str, str]) -> None:
    """As one safetensors file with `about` as its metadata.

    Raises:
        OSError: it cannot be written; the disk is full, for instance.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with replacing(path) as own:
        try:
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(whole, own, metadata=dict(about))
        except SafetensorError as error:  # what the library makes of the system's errors
            raise OSError(str(error)) from None

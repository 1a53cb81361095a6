"""Named arrays in one safetensors file, there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from space.shared.files import replacing


def save_arrays(arrays: Mapping[str, np.ndarray], path: Path, about: Mapping[str, str]) -> None:
    """As one safetensors file with `about` as its metadata.

    Raises:
        OSError: it cannot be written; the disk is full, for instance.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as own:
        try:
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(whole, own, metadata=dict(about))
        except SafetensorError as error:  # what the library makes of the system's errors
            raise OSError(str(error)) from None

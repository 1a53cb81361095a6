"""Pictures side by side in one image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from space.shared.plain import InputError


def save_grid(
    pictures: np.ndarray, path: str | Path, *, columns: int | None = None, enlarge: int = 1
) -> None:
    """Write (N, H, W, 3) uint8 as rows of pictures; each pixel becomes `enlarge` x `enlarge`.

    Raises:
        InputError: the file cannot be written, or its name says no image format.
    """
    from PIL import Image

    count, height, width, _ = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * columns, height, width, 3), 255, np.uint8)
    sheet[:count] = pictures
    sheet = sheet.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    image = Image.fromarray(sheet.reshape(rows * height, columns * width, 3))
    try:
        image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST).save(path)
    except (OSError, ValueError) as error:
        raise InputError(f"out: {str(path)!r} cannot be written: {error}") from None

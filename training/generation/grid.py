"""Images side by side in one image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from space.shared.outputs import save_image
from space.shared.plain import InputError


def save_grid(images: np.ndarray, path: str | Path, *, columns: int | None = None, enlarge: int = 1) -> None:
    """Write (N, H, W, 3) uint8 as rows of images; each pixel becomes `enlarge` x `enlarge`.

    Raises:
        InputError: the file cannot be written, or its name says no image format.
    """
    from PIL import Image

    count, height, width, _ = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * columns, height, width, 3), 255, np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    grid = Image.fromarray(sheet.reshape(rows * height, columns * width, 3))
    try:
        larger = grid.resize((grid.width * enlarge, grid.height * enlarge), Image.Resampling.NEAREST)
        save_image(larger, Path(path))
    except (OSError, ValueError) as error:
        raise InputError(f"out: {str(path)!r} cannot be written: {error}") from None

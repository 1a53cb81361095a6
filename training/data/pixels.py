"""An image as it is trained on: its centre square, of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from space.shared.decoding import Unreadable, decode_image

# What stands in files that are made from images; to be changed with what `centre_square` does.
PREPROCESSING = "centre square, Lanczos, upright, on white"


def centre_square(source: bytes | Path, image_size_px: int, *, on_white: bool = False) -> np.ndarray | str:
    """(H, W, 3) uint8: the centre square, resized; or why it cannot be read as an image.

    Args:
        on_white: see `decode_image`.
    """
    try:
        image = Image.fromarray(decode_image(source, least_px=image_size_px, on_white=on_white))
    except Unreadable as error:
        return str(error)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((image_size_px, image_size_px), Image.Resampling.LANCZOS))

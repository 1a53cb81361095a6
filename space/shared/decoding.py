"""An image's bytes to RGB pixels, by rules that are stated, since what is learnt and scored moves with them.

Whoever trains on images and whoever scores them reads them alike. An image becomes RGB as clean-fid makes it:
alpha dropped, greyscale in three equal channels, the first frame of an animation, EXIF orientation and colour
profiles ignored. 16-bit greyscale keeps its high byte, as PIL keeps that of 16-bit colour. Whatever else PIL
cannot turn into RGB is unreadable.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image


class Unreadable(Exception):
    """An image that cannot be decoded; the message says why."""


@cache
def image_suffixes() -> frozenset[str]:
    """Those of the formats that PIL can open."""
    return frozenset(suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN)


def decode_image(source: bytes | Path, least_px: int | None = None) -> np.ndarray:
    """An image file, or its bytes, as (H, W, 3) uint8, by the rules above.

    Args:
        least_px: a JPEG may come smaller, by a half, a quarter or an eighth, while no side falls below this;
            on photographs that is several times faster.

    Raises:
        Unreadable: whatever is wrong with it.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if least_px is not None:
                image.draft("RGB", (least_px, least_px))
            return _as_rgb(image)
    except Unreadable:
        raise
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except Exception as error:  # PIL's plugins raise what they like on damaged files
        raise Unreadable(str(error) or type(error).__name__) from None


def image_size(source: bytes | Path) -> tuple[int, int] | None:
    """Width and height of an image file, or of its first bytes; None where they cannot be read."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.size
    except Exception:  # PIL's plugins raise what they like on damaged files
        return None


def _as_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise Unreadable(f"pixels of PIL's mode {image.mode!r}, whose range is not known")
    return np.asarray(image.convert("RGB"))

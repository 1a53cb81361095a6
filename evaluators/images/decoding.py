"""An image's bytes to RGB pixels, by rules that are stated, since scores move with them.

An image becomes RGB as clean-fid makes it: alpha dropped, greyscale in three equal channels, the first frame
of an animation, EXIF orientation and colour profiles ignored. 16-bit greyscale keeps its high byte, as PIL
keeps that of 16-bit colour. Whatever else PIL cannot turn into RGB is unreadable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
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


def decode_file(content: bytes) -> np.ndarray:
    """The bytes of an image file as (H, W, 3) uint8, by the rules above. Raises Unreadable."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I;16"):
                grey = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            if image.mode in ("I", "F"):
                raise Unreadable(f"pixels of PIL's mode {image.mode!r}, whose range is not known")
            return np.asarray(image.convert("RGB"))
    except Unreadable:
        raise
    except Exception as error:  # PIL's plugins raise what they like on damaged files
        raise Unreadable(str(error) or type(error).__name__) from None


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

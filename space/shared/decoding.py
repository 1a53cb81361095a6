"""An image's bytes to RGB pixels, by rules that are stated, since what is learnt and scored moves with them.

Whoever trains on images and whoever scores them reads them alike. An image is turned as its EXIF orientation
says, so that it stands as everybody sees it; clean-fid leaves it lying. Otherwise it becomes RGB as clean-fid
makes it: alpha dropped, greyscale in three equal channels, the first frame of an animation, colour profiles
ignored. Greyscale of 16 bits, or 12, keeps its highest eight, as PIL keeps those of 16-bit colour. Whatever
else PIL cannot turn into RGB is unreadable. `on_white` shows what is transparent as viewers do: what lies
beneath alpha is often black, or noise that nobody has seen.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

ORIENTATION, AS_STORED = 0x0112, 1  # of EXIF
TURNS = {  # as PIL's exif_transpose has them, which fails where it cannot write a note without them
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,  # from here on, sides change
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # of TIFF


class Unreadable(Exception):
    """An image that cannot be decoded; the message says why."""


@cache
def image_suffixes() -> frozenset[str]:
    """Those of the formats that PIL can open."""
    return frozenset(suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN)


def decode_image(source: bytes | Path, least_px: int | None = None, *, on_white: bool = False) -> np.ndarray:
    """An image file, or its bytes, as (H, W, 3) uint8, by the rules above.

    Args:
        least_px: a JPEG may come smaller, by a half, a quarter or an eighth, while no side falls below this;
            on photographs that is several times faster.
        on_white: what is transparent lies on white; otherwise alpha is dropped.

    Raises:
        Unreadable: whatever is wrong with it.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if least_px is not None:
                image.draft("RGB", (least_px, least_px))
            return _as_rgb(image, on_white)
    except Unreadable:
        raise
    except UnidentifiedImageError:  # whose message gives the address of bytes in memory
        raise Unreadable("cannot identify image file") from None
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except Exception as error:  # PIL's plugins raise what they like on damaged files
        raise Unreadable(str(error) or type(error).__name__) from None


def image_size(source: bytes | Path) -> tuple[int, int] | None:
    """Width and height of an image file as it is decoded, or of its first bytes; None where they cannot be
    read."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except Exception:  # PIL's plugins raise what they like on damaged files
        return None


def has_transparency(source: bytes | Path) -> bool:
    """Whether an image says what of it is transparent, by an alpha channel or otherwise; from its header."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return bool(image.has_transparency_data)
    except Exception:  # PIL's plugins raise what they like on damaged files
        return False


def is_decoded_otherwise(source: bytes | Path) -> bool:
    """Whether this image had other pixels before orientation and 12 bits were read; from its header."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            grey = image.mode.startswith("I;16")
            return _orientation(image) != AS_STORED or (grey and _grey_form(image) != (16, False))
    except Exception:  # PIL's plugins raise what they like on damaged files
        return False


def _as_rgb(image: Image.Image, on_white: bool) -> np.ndarray:
    image.load()
    bits, is_inverted = _grey_form(image)
    if (orientation := _orientation(image)) != AS_STORED:
        image = image.transpose(TURNS[orientation])
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image, np.uint16)
        grey = (pixels >> (bits - 8)).astype(np.uint8)
        grey = 255 - grey if is_inverted else grey
        if on_white and "transparency" in image.info:  # one value of grey, in a PNG
            grey[pixels == image.info["transparency"]] = 255
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise Unreadable(f"pixels of PIL's mode {image.mode!r}, whose range is not known")
    if on_white and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """Of EXIF; that of a TIFF, PIL follows by itself. A note that is damaged turns nothing."""
    if image.format == "TIFF":
        return AS_STORED
    try:
        found = Image.Image.getexif(image).get(ORIENTATION, AS_STORED)  # a PNG's own would decode it
    except Exception:  # of a library that reads what anybody wrote
        return AS_STORED
    return found if found in TURNS else AS_STORED


def _grey_form(image: Image.Image) -> tuple[int, bool]:
    """Bits a pixel of 16-bit greyscale, and whether white is zero, which PIL heeds in fewer bits alone."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS, 16)
    return (bits[0] if isinstance(bits, tuple) else bits), tags.get(PHOTOMETRIC) == WHITE_IS_ZERO

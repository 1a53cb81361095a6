"""A contact sheet: images with their captions beneath, as somebody sees them who looks at data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from space.shared.outputs import save_image
from space.shared.plain import InputError

IMAGE_PX, GAP_PX, LINES, LETTERS = 160, 8, 3, 26  # of a caption, lines and letters in each
LINE_PX, FRAME = 13, "silver"


def small_copy(pixels: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 image as a sheet shows it."""
    image = Image.fromarray(pixels)
    scale = IMAGE_PX / max(image.size)
    return np.asarray(image.resize([max(1, round(side * scale)) for side in image.size]))


def save_sheet(images: Sequence[tuple[np.ndarray, str]], path: Path, columns: int = 8) -> None:
    """Write small copies of images, each in a frame of its own: some are white.

    Raises:
        InputError: the file cannot be written, or its name says no image format.
    """
    width, height = IMAGE_PX + GAP_PX, IMAGE_PX + LINES * LINE_PX + GAP_PX
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (min(columns, len(images)) * width + GAP_PX, rows * height + GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (pixels, caption) in enumerate(images):
        left, top = GAP_PX + number % columns * width, GAP_PX + number // columns * height
        small = Image.fromarray(pixels)
        draw.rectangle((left - 1, top - 1, left + small.width, top + small.height), outline=FRAME)
        sheet.paste(small, (left, top))
        lines = textwrap.wrap(caption, LETTERS, max_lines=LINES, placeholder=" ...")
        for line, text in enumerate(lines):
            draw.text((left, top + IMAGE_PX + line * LINE_PX), text, fill="black")
    try:
        save_image(sheet, path)
    except (OSError, ValueError) as error:
        raise InputError(f"sheet: {str(path)!r} cannot be written: {error}") from None

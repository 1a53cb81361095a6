"""An image in a protocol's form: crop, then resize, then the file that samples are stored in."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from evaluators.protocols.protocol import ImageForm
from space.shared.plain import InputError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SAMPLED_AT_POINTS = ("nearest", "bilinear", "bicubic")  # what there is without anti-aliasing


def check_form(form: ImageForm) -> None:
    """Raises InputError where images cannot be brought into this form."""
    if form.resize != "none" and not form.antialias and form.resize not in SAMPLED_AT_POINTS:
        raise InputError(
            f"antialias: false with resize = {form.resize}; allowed: {', '.join(SAMPLED_AT_POINTS)}"
        )


def check_sample_size(image: np.ndarray, form: ImageForm) -> None:
    """Raises InputError where a sample does not have the size that the form says."""
    height, width = image.shape[:2]
    if form.drawn_size_px is not None and (height, width) != (form.drawn_size_px, form.drawn_size_px):
        side = form.drawn_size_px
        raise InputError(f"{width}x{height} px where the protocol's samples have {side}x{side}")


def prepare(image: np.ndarray, form: ImageForm) -> np.ndarray:
    """(H, W, 3) uint8 to (size_px, size_px, 3) uint8; without a size as it is, but for the crop.

    With anti-aliasing this is Pillow's resize, whose filter widens as it shrinks; without it PyTorch's
    interpolation with corners unaligned, rounded to whole numbers.

    Raises:
        InputError: an image of another size where the form resizes nothing.
    """
    if form.crop == "center":
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    if form.size_px is None or image.shape[:2] == (form.size_px, form.size_px):
        return image
    if form.resize == "none":
        height, width = image.shape[:2]
        raise InputError(
            f"{width}x{height} px where the protocol scores {form.size_px}x{form.size_px} and resizes nothing"
        )
    if form.antialias or form.resize == "nearest":
        side = (form.size_px, form.size_px)
        return np.asarray(Image.fromarray(image).resize(side, FILTERS[form.resize]))
    return _at_points(image, form.size_px, form.resize)


def as_stored(image: np.ndarray, form: ImageForm) -> np.ndarray:
    """What a sample's file gives back: through JPEG of the form's quality, or as it is."""
    if form.jpeg_quality is None:
        return image
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=form.jpeg_quality)
    with Image.open(stream) as stored:
        return np.asarray(stored)


def _at_points(image: np.ndarray, side: int, mode: str) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, (side, side), mode=mode, align_corners=False)[0]
    return resized.round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().numpy()

"""An image in a protocol's form, against Pillow and PyTorch themselves, and by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.images.preparation import as_stored, check_form, prepare
from evaluators.protocols.protocol import ImageForm
from space.shared.plain import InputError


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (20, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_antialiased_resizing_is_pillows(image: np.ndarray, name: str) -> None:
    form = ImageForm(size_px=8, resize=name)  # type: ignore[arg-type]
    expected = Image.fromarray(image).resize((8, 8), Image.Resampling[name.upper()])
    assert np.array_equal(prepare(image, form), np.asarray(expected))


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_without_antialiasing_it_is_pytorchs(image: np.ndarray, name: str) -> None:
    form = ImageForm(size_px=8, resize=name, antialias=False)  # type: ignore[arg-type]
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(batch, (8, 8), mode=name).round().clamp(0, 255)
    assert np.array_equal(prepare(image, form), expected[0].permute(1, 2, 0).numpy().astype(np.uint8))


def test_antialiasing_sees_every_pixel_and_points_do_not() -> None:
    """One white column of sixteen, shrunk to one pixel: a mean, or what stands at the middle."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, 3] = 255
    box = ImageForm(size_px=1, resize="box")
    points = ImageForm(size_px=1, resize="bilinear", antialias=False)
    assert prepare(stripes, box)[0, 0].tolist() == [16, 16, 16]
    assert prepare(stripes, points)[0, 0].tolist() == [0, 0, 0]


def test_the_centre_is_cropped_before_the_resize(image: np.ndarray) -> None:
    form = ImageForm(size_px=10, crop="center", resize="box")
    by_hand = image[:, 6:26].reshape(10, 2, 10, 2, 3).mean(axis=(1, 3))
    assert np.abs(prepare(image, form) - by_hand).max() <= 1  # Pillow rounds after each axis
    assert np.array_equal(prepare(image, ImageForm(size_px=20, crop="center")), image[:, 6:26])


def test_nothing_happens_to_an_image_of_the_right_size(image: np.ndarray) -> None:
    square = image[:20, :20]
    assert np.array_equal(prepare(square, ImageForm(size_px=20, resize="lanczos")), square)


def test_the_file_format_leaves_its_traces(image: np.ndarray) -> None:
    form = ImageForm(size_px=32, resize="bicubic", file_format="jpeg", jpeg_quality=75)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=75)
    assert np.array_equal(as_stored(image, form), np.asarray(Image.open(stream)))
    assert np.array_equal(as_stored(image, ImageForm(size_px=32)), image)


def test_what_is_not_possible_is_said(image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"32x20 px .* 8x8"):
        prepare(image, ImageForm(size_px=8))
    with pytest.raises(InputError, match="antialias: false with resize = lanczos; allowed: nearest"):
        check_form(ImageForm(size_px=8, resize="lanczos", antialias=False))

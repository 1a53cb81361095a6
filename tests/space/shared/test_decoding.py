"""One decoder for whoever trains on images and whoever scores them: equal pixels, or refused by both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.images.image_set import open_images
from space.shared.decoding import Unreadable, decode_image
from space.shared.plain import InputError
from training.data.factory import load_data
from training.data.folder import FolderSettings

SIZE = 16


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), np.uint8))


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show, which no score does
    photo().save(path, "JPEG", exif=exif)


def transparent(path: Path) -> None:
    image = photo().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.arange(SIZE, dtype=np.uint8), (SIZE, 1))))
    image.save(path, "PNG")


FILES: dict[str, Callable[[Path], None]] = {
    "16-bit.png": lambda path: Image.new("I;16", (SIZE, SIZE), 0x4DFF).save(path),
    "16-bit.tiff": lambda path: Image.new("I;16", (SIZE, SIZE), 0x4DFF).save(path),
    "8-bit.png": lambda path: photo().save(path),
    "alpha.png": transparent,
    "grey-alpha.png": lambda path: Image.new("LA", (SIZE, SIZE), (77, 0)).save(path),
    "two-colours.png": lambda path: photo().convert("1").save(path),
    "palette.gif": lambda path: photo().quantize(8).save(path, transparency=0),
    "cmyk.jpg": lambda path: photo().convert("CMYK").save(path),
    "turned.jpg": turned,
    "lossy.webp": lambda path: photo().save(path),
}


@pytest.mark.parametrize("name", FILES)
def test_training_sees_what_the_evaluators_see(tmp_path: Path, name: str) -> None:
    rows = [{"file": f"{index}-{name}", "caption": "x"} for index in range(2)]
    for row in rows:
        FILES[name](tmp_path / row["file"])
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load_data(FolderSettings(folder=str(tmp_path), image_size_px=SIZE, held_out_share=0.5))
    trained = ((data.train([0])[0][0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    images = open_images(str(tmp_path))
    assert np.array_equal(trained, images.decode(images.read(0)))
    if name.startswith("16-bit"):
        assert (trained == 0x4D).all()  # PIL's own conversion would clip it to white


def test_what_the_evaluators_cannot_read_is_not_trained_on_in_black(tmp_path: Path) -> None:
    rows = [{"file": f"{index}.tiff", "caption": "x"} for index in range(4)]
    for row in rows[:3]:
        photo().save(tmp_path / row["file"])
    Image.new("F", (SIZE, SIZE), 0.5).save(tmp_path / "3.tiff")
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = FolderSettings(folder=str(tmp_path), image_size_px=SIZE, max_unreadable_share=0.5)
    assert load_data(settings).unreadable == ["3.tiff"]
    with pytest.raises(InputError, match=r"3\.tiff: pixels of PIL's mode 'F'"):
        load_data(FolderSettings(folder=str(tmp_path), image_size_px=SIZE))


def test_a_large_jpeg_may_come_smaller_but_never_too_small(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg")
    assert decode_image(tmp_path / "a.jpg").shape == (100, 200, 3)
    assert decode_image(tmp_path / "a.jpg", least_px=20).shape == (25, 50, 3)
    assert decode_image((tmp_path / "a.jpg").read_bytes(), least_px=60).shape == (100, 200, 3)
    with pytest.raises(Unreadable, match="No such file"):
        decode_image(tmp_path / "b.jpg")

"""One decoder for whoever trains on images and whoever scores them: equal pixels, or refused by both."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from evaluators.images.image_set import open_images
from space.shared.decoding import Unreadable, decode_image, image_size, is_decoded_otherwise
from space.shared.plain import InputError
from training.data.factory import load_data
from training.data.folder import FolderSettings

SIZE = 16


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), np.uint8))


def turned(path: Path, orientation: int = 6, height: int = SIZE) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo().crop((0, 0, SIZE, height)).save(path, exif=exif)


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


# ---------------------------------------------------------------------- as everybody sees them


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "mpo"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_stands_as_its_exif_says(tmp_path: Path, suffix: str, orientation: int) -> None:
    """A phone's photos lie on their side, with a note that says so."""
    path = tmp_path / f"a.{suffix}"
    turned(path, orientation, SIZE // 2)
    with Image.open(path) as stored:
        shown = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(decode_image(path), shown)
    assert image_size(path) == (shown.shape[1], shown.shape[0])
    assert is_decoded_otherwise(path) == (orientation > 1 and suffix != "tiff")  # PIL turned that by itself
    if orientation == 6 and suffix == "png":  # nothing is lost, so the pixels are known
        assert np.array_equal(decode_image(path), np.rot90(np.asarray(photo())[: SIZE // 2], -1))


def test_a_turned_jpeg_may_come_smaller_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg", exif=exif)
    assert decode_image(tmp_path / "a.jpg", least_px=20).shape == (50, 25, 3)


@pytest.mark.parametrize("note", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"])
def test_a_note_that_is_damaged_turns_nothing(tmp_path: Path, note: bytes) -> None:
    photo().save(tmp_path / "a.jpg", exif=note)
    photo().save(tmp_path / "b.jpg")
    assert np.array_equal(decode_image(tmp_path / "a.jpg"), decode_image(tmp_path / "b.jpg"))
    for orientation in (0, 9, 77):
        turned(tmp_path / "c.png", orientation, SIZE // 2)
        assert decode_image(tmp_path / "c.png").shape == (SIZE // 2, SIZE, 3)


def tiff(
    order: str, bits: int, content: bytes, *, white_is_zero: bool = False, signed: bool = False
) -> bytes:
    """One strip of 2 x 1 pixels of greyscale."""
    tags = [(256, 2), (257, 1), (258, bits), (259, 1), (262, 0 if white_is_zero else 1), (273, 8)]
    tags += [(277, 1), (278, 1), (279, len(content)), *([(339, 2)] if signed else [])]
    shorts = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(content))
    return head + content + struct.pack(f"{order}H", len(tags)) + shorts + struct.pack(f"{order}I", 0)


def png(bits: int, colours: int, content: bytes, transparent: bytes = b"") -> bytes:
    """2 x 1 pixels; one value or colour may be transparent."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, colours, 0, 0, 0))
    head += chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" + content)) + chunk(b"IEND", b"")


GREY = [[0x12] * 3, [0xAB] * 3]
DEEP = {
    "12-bit TIFF": (tiff("<", 12, bytes([0x12, 0x3A, 0xBC])), GREY),
    "16-bit TIFF": (tiff("<", 16, struct.pack("<HH", 0x1234, 0xABCD)), GREY),
    "16-bit TIFF, big end first": (tiff(">", 16, struct.pack(">HH", 0x1234, 0xABCD)), GREY),
    "16-bit TIFF, white is zero": (
        tiff("<", 16, struct.pack("<HH", 0xFFFF - 0x1234, 0xFFFF - 0xABCD), white_is_zero=True),
        GREY,
    ),
    "8-bit TIFF, white is zero": (tiff("<", 8, bytes([255 - 0x12, 255 - 0xAB]), white_is_zero=True), GREY),
    "16-bit grey PNG": (png(16, 0, struct.pack(">HH", 0x1234, 0xABCD)), GREY),
    "16-bit RGB PNG": (
        png(16, 2, struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0xDEF0, 0x1122, 0x3344)),
        [[0x12, 0x56, 0x9A], [0xDE, 0x11, 0x33]],
    ),
    "16-bit grey and alpha PNG": (png(16, 4, struct.pack(">4H", 0x1234, 0, 0xABCD, 0xFFFF)), GREY),
    "4-bit grey PNG": (png(4, 0, bytes([0x1F])), [[0x11] * 3, [0xFF] * 3]),
    "1-bit PNG": (png(1, 0, bytes([0b01000000])), [[0] * 3, [255] * 3]),
}


@pytest.mark.parametrize("name", DEEP)
def test_depths_are_read_by_their_highest_bits(name: str) -> None:
    content, pixels = DEEP[name]
    assert decode_image(content).tolist() == [pixels]
    assert is_decoded_otherwise(content) == (name in ("12-bit TIFF", "16-bit TIFF, white is zero"))


@pytest.mark.parametrize(
    ("content", "on_white"),
    [
        (png(16, 0, struct.pack(">HH", 0x1234, 0xABCD), struct.pack(">H", 0x1234)), [[255] * 3, [0xAB] * 3]),
        (png(16, 0, struct.pack(">HH", 0x1234, 0x1235), struct.pack(">H", 0x1234)), [[255] * 3, [0x12] * 3]),
        (png(16, 4, struct.pack(">4H", 0x1234, 0, 0xABCD, 0xFFFF)), [[255] * 3, [0xAB] * 3]),
        (png(8, 0, bytes([0x12, 0xAB]), struct.pack(">H", 0xAB)), [[0x12] * 3, [255] * 3]),
    ],
)
def test_what_is_transparent_lies_on_white_at_any_depth(content: bytes, on_white: list[list[int]]) -> None:
    assert decode_image(content, on_white=True).tolist() == [on_white]
    assert decode_image(content).tolist() != [on_white]


def stored(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def frames(form: str) -> bytes:
    one, two = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    return stored(one, form, save_all=True, append_images=[two])


def in_palette() -> bytes:
    """Two colours, the first of which is see-through."""
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    return stored(image, "PNG", transparency=0)


KINDS = {
    "transparent palette": (in_palette(), [[255, 0, 0], [0, 0, 255]]),
    "grey and alpha": (stored(Image.new("LA", (1, 1), (77, 0)), "PNG"), [[77] * 3]),
    "colour and alpha": (stored(Image.new("RGBA", (1, 1), (1, 2, 3, 0)), "PNG"), [[1, 2, 3]]),
    "CMYK": (stored(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF"), [[255, 0, 0]]),
    "two colours": (stored(Image.new("1", (1, 1), 1), "TIFF"), [[255] * 3]),
    "GIF's first frame": (frames("GIF"), [[255, 0, 0]] * 2),
    "PNG's first frame": (frames("PNG"), [[255, 0, 0]] * 2),
    "TIFF's first page": (frames("TIFF"), [[255, 0, 0]] * 2),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_become_rgb_as_it_is_stated(name: str) -> None:
    content, first_row = KINDS[name]
    assert decode_image(content)[0].tolist() == first_row


@pytest.mark.parametrize(
    "content",
    [
        tiff("<", 16, struct.pack("<hh", -5, 5), signed=1),
        b"P5 2 1 65535\n" + struct.pack(">HH", 0x1234, 0xABCD),
        stored(Image.new("F", (1, 1), 0.5), "TIFF"),
    ],
)
def test_what_has_no_known_range_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable, match=r"mode '[IF]'"):
        decode_image(content)


def test_images_too_many_for_memory_have_another_digest_where_they_are_seen_otherwise(tmp_path: Path) -> None:
    """Than an earlier version saw them: names and sizes of the files are the same."""
    rows = [{"file": f"{index}.png", "caption": "x"} for index in range(2)]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = FolderSettings(folder=str(tmp_path), image_size_px=SIZE, held_out_share=0.5, memory_mib=0)
    digests = []
    for orientation in (1, 6):
        for row in rows:
            turned(tmp_path / row["file"], orientation)
        digests.append(load_data(settings).digest)
    assert len({path.stat().st_size for path in tmp_path.glob("*.png")}) == 1 and digests[0] != digests[1]

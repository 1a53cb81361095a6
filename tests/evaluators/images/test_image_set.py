"""Reading anybody's images: the forms, the order, the pixel rules, and what is said of damaged ones."""

from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evaluators.images.image_set import open_images
from space.shared.decoding import Unreadable
from space.shared.file_names import natural_order
from space.shared.plain import InputError
from tests.evaluators.images.written import (
    decoded,
    in_every_form,
    png,
    random_images,
    write_folder,
    write_shard,
)


def test_every_form_gives_the_same_images_in_the_same_order(tmp_path: Path) -> None:
    images = random_images()
    for source in in_every_form(tmp_path, images):
        opened = open_images(source)
        assert np.array_equal(decoded(opened), images), source
        backwards = [opened.decode(opened.read(index)) for index in reversed(range(len(images)))]
        assert np.array_equal(np.stack(backwards), images[::-1]), source


def test_threads_may_read_together(tmp_path: Path) -> None:
    images = random_images(64)
    for source in in_every_form(tmp_path, images):
        opened = open_images(source)
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda index, opened=opened: opened.decode(opened.read(index)), range(64)))
        assert np.array_equal(np.stack(read), images), source


def test_a_compressed_npz_is_unpacked_once_though_readers_overtake_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step back in the stream would cost all that stands before."""
    pixels, read = random_images(300, 16), 0
    unpack = zipfile.ZipExtFile._read1  # type: ignore[attr-defined]

    def counted(stream: zipfile.ZipExtFile, size: int) -> bytes:
        nonlocal read
        content: bytes = unpack(stream, size)
        read += len(content)
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", counted)
    np.savez_compressed(tmp_path / "a.npz", pixels)
    images = open_images(str(tmp_path / "a.npz"))
    order = [index + 7 - 2 * (index % 8) for index in range(296)]  # 7, 6 ... 0, 15, 14 ... 8 and on
    for index in order:
        assert np.array_equal(images.decode(images.read(index)), pixels[index])
    assert read < 1.1 * pixels.nbytes
    for index in (290, 3, 299, 150, 151, 149):  # and from anywhere to anywhere
        assert np.array_equal(images.decode(images.read(index)), pixels[index])


def test_a_folder_is_read_with_its_folders_and_without_what_is_hidden(tmp_path: Path) -> None:
    image = random_images(1)[0]
    for name in ("b/2.png", "b/10.png", "a/x.PNG", "c.webp", "._c.png", ".cache/d.png", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name, "PNG")
    assert open_images(str(tmp_path)).names == ["a/x.PNG", "b/2.png", "b/10.png", "c.webp"]
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "back").symlink_to(tmp_path / "a")  # a/link/back and so on would have no end
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    assert open_images(str(tmp_path)).names == [
        "a/link/2.png", "a/link/10.png", "a/x.PNG", "b/2.png", "b/10.png", "b/back/x.PNG", "c.webp",
    ]  # fmt: skip


@given(st.lists(st.integers(0, 10**6), unique=True), st.permutations(["a", "img", "z9-"]))
def test_natural_order_is_that_of_the_numbers(numbers: list[int], prefixes: list[str]) -> None:
    names = [f"{prefix}{number}.png" for prefix in prefixes for number in numbers]
    expected = [f"{prefix}{number}.png" for prefix in ("a", "img", "z9-") for number in sorted(numbers)]
    assert natural_order(names) == expected
    assert natural_order(["1²3.png", "1²2.png"]) == ["1²2.png", "1²3.png"]  # a digit that is no number


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),  # alpha is dropped, not laid over a colour
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 0), (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 0x4DFF, (0x4D, 0x4D, 0x4D)),  # PIL's own conversion would clip it to white
    ],
)
def test_every_mode_becomes_rgb_by_rule(
    tmp_path: Path, mode: str, pixel: int | tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    Image.new(mode, (3, 2), pixel).save(tmp_path / "a.png")
    assert (decoded(open_images(str(tmp_path))) == np.full((1, 2, 3, 3), expected)).all()


def test_palettes_and_lossy_formats_are_read_as_pil_reads_them(tmp_path: Path) -> None:
    image = Image.fromarray(random_images(1, 16)[0])
    image.quantize(8).save(tmp_path / "a.gif")
    image.convert("CMYK").save(tmp_path / "b.jpg")
    image.save(tmp_path / "c.webp")
    opened = open_images(str(tmp_path))
    for index, name in enumerate(opened.names):
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(opened.decode(opened.read(index)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("content", [b"", b"not an image", png(random_images(1, 64)[0])[:2000]])
def test_damaged_files_are_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    images = open_images(str(tmp_path))
    with pytest.raises(Unreadable):
        images.decode(images.read(0))


def test_pixels_of_unknown_range_are_unreadable(tmp_path: Path) -> None:
    Image.new("F", (2, 2), 0.5).save(tmp_path / "a.tiff")
    images = open_images(str(tmp_path))
    with pytest.raises(Unreadable, match="'F'"):
        images.decode(images.read(0))


def test_a_file_that_went_away_is_unreadable(tmp_path: Path) -> None:
    images = open_images(str(write_folder(tmp_path, random_images(2))))
    (tmp_path / "1.png").unlink()
    with pytest.raises(Unreadable, match="No such file"):
        images.read(1)
    assert images.stamp(1) == "missing"


def test_a_stamp_changes_with_its_file(tmp_path: Path) -> None:
    images = open_images(str(write_folder(tmp_path, random_images(2))))
    before = [images.stamp(0), images.stamp(1)]
    os.utime(tmp_path / "1.png", ns=(0, 12345))
    assert images.stamp(0) == before[0] and images.stamp(1) != before[1]


def test_bad_sources_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text("x")
    (tmp_path / "a.zip").write_bytes(b"PK")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "broken.tar").write_bytes(b"x" * 1000)
    np.savez(tmp_path / "float.npz", np.zeros((2, 4, 4, 3), np.float32))
    np.savez(tmp_path / "first.npz", np.zeros((2, 3, 4, 4), np.uint8))
    np.savez(tmp_path / "two.npz", mu=np.zeros(3), sigma=np.zeros((3, 3)))
    np.savez(tmp_path / "fortran.npz", np.zeros((2, 4, 4, 3), np.uint8, order="F"))
    write_shard(tmp_path / "cut.tar", {"a.png": png(random_images(1, 64)[0])})
    os.truncate(tmp_path / "cut.tar", 2000)
    write_shard(
        write_folder(tmp_path / "both", random_images(1)) / "a.tar", {"0.png": png(random_images(1)[0])}
    )
    for source, message in {
        "both": r"holds images \(0\.png\) and shards \(a\.tar\)",
        "nothing": "does not exist",
        "empty": "holds no image; it is empty",
        "texts": r"holds no image; passed over: 1 \.md \(a\.md\)",
        "a.zip": "is a file of another kind than a folder, an .npz",
        "broken.npz": "cannot be read as .npz",
        "broken.tar": "cannot be read as an uncompressed .tar",
        "float.npz": r"holds float32 of the shape .*; needed: uint8 \(N, H, W, 3\)",
        "first.npz": r"uint8 of the shape \(2, 3, 4, 4\); needed",
        "two.npz": "holds the arrays mu, sigma; needed: arr_0",
        "fortran.npz": "Fortran order",
        "cut.tar": "uncompressed .tar: unexpected end of data",
        "{0..3}.tar": "0.tar' does not exist",
        "x*.tar": "no file matches",
    }.items():
        with pytest.raises(InputError, match=f"^reference: .*{message}") as raised:
            open_images(str(tmp_path / source), "reference")
        assert "\n" not in str(raised.value)


def test_an_npz_cut_off_in_its_middle_says_where(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", random_images(20, 32))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[30_000:31_000] = bytes(1000)
    (tmp_path / "a.npz").write_bytes(content)
    images = open_images(str(tmp_path / "a.npz"))
    with pytest.raises(InputError, match=r"a\.npz: damaged at image \d+"):
        decoded(images)


def test_a_name_that_is_not_utf8_is_read_and_printed(tmp_path: Path) -> None:
    pixels = random_images(1)
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        file.write(png(pixels[0]))
    images = open_images(str(tmp_path))
    assert images.names == ["\\xff.png"] and images.stamp(0) != "missing"
    assert np.array_equal(decoded(images), pixels)

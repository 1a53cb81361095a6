"""Reading anybody's images: the forms, the order, the pixel rules, and what is said of damaged ones."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evaluators.images.captions import captions_of, named_in
from evaluators.images.image_set import ImageSet, open_images
from evaluators.images.order import natural_order
from evaluators.images.shards import DOTTED
from space.shared.captions import read_captions
from space.shared.decoding import Unreadable
from space.shared.plain import InputError


def random_images(count: int = 12, size: int = 8) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_folder(folder: Path, images: np.ndarray) -> Path:
    """Numbered without zeros before, so that only natural order is the right one."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        (folder / f"{index}.png").write_bytes(png(image))
    return folder


def write_shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, images: np.ndarray, shards: int = 3, suffix: str = "txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(images)), shards)):
        files = {}
        for index in part:
            text = f"caption {index}" if suffix == "txt" else json.dumps({"caption": f"caption {index}"})
            files |= {f"{index:06d}.png": png(images[index]), f"{index:06d}.{suffix}": text.encode()}
        write_shard(folder / f"{number:03d}.tar", files)
    return folder


def decoded(images: ImageSet) -> np.ndarray:
    return np.stack([images.decode(images.read(index)) for index in range(len(images.names))])


def in_every_form(folder: Path, images: np.ndarray) -> list[str]:
    np.savez(folder / "plain.npz", images)
    np.savez_compressed(folder / "compressed.npz", arr_0=images, labels=np.arange(len(images)))
    write_shards(folder / "shards", images)
    return [
        str(write_folder(folder / "folder", images)),
        str(folder / "plain.npz"),
        str(folder / "compressed.npz"),
        str(folder / "shards"),
        str(folder / "shards" / "{000..002}.tar"),
        str(folder / "shards" / "*.tar"),
    ]


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


# ---------------------------------------------------------------------- captions

ROWS = [{"file_name": f"{index}.png", "caption": f"caption {index}"} for index in (2, 0, 1, 3)]


def write_captions(path: Path) -> Path:
    """ROWS, which are in another order than the images, in the form that the suffix names."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif path.suffix in (".csv", ".tsv"):
        sign = "," if path.suffix == ".csv" else "\t"
        rows = [sign.join((row["file_name"], f'"{row["caption"]}"')) for row in ROWS]
        path.write_text("\n".join([f"file_name{sign}caption", *rows]))
    elif path.suffix == ".parquet":
        import pandas

        pandas.DataFrame(ROWS).to_parquet(path)
    elif path.stem == "mapping":
        path.write_text(json.dumps({row["file_name"]: row["caption"] for row in ROWS}))
    elif path.stem == "coco":
        path.write_text(json.dumps(coco()))
    else:
        path.write_text(json.dumps(ROWS))
    return path


def coco() -> dict[str, list[dict[str, object]]]:
    """Two captions an image, the later one first; and an image that is not among ours."""
    images = [{"id": 100 + index, "file_name": f"{index}.png"} for index in range(5)]
    notes = [{"id": 90, "image_id": 100, "caption": "later"}]
    notes += [
        {"id": 10 + index, "image_id": 100 + index, "caption": f"caption {index}\n"} for index in range(5)
    ]
    return {"images": images, "annotations": notes}


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.json", "mapping.json", "coco.json"]
)
def test_named_captions_find_their_images(tmp_path: Path, name: str) -> None:
    images = open_images(str(write_folder(tmp_path / "images", random_images(4))))
    file = str(write_captions(tmp_path / name))
    assert captions_of(images, file) == [f"caption {index}" for index in range(4)]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, name: str) -> None:
    """Unicode knows more ends; `mdsearch generate samples` writes them inside captions as they stand."""
    texts = ["one\u2028and a half", "two\x85", "three"]
    rows = [json.dumps({"caption": text}, ensure_ascii=False) for text in texts]
    (tmp_path / name).write_text("\n".join(rows if name == "a.jsonl" else texts) + "\n\n")
    found = read_captions(str(tmp_path / name)).texts
    assert found == (texts if name == "a.jsonl" else [text.strip() for text in texts])


def test_captions_without_names_go_by_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", random_images(3))
    images = open_images(str(tmp_path / "images.npz"))
    (tmp_path / "a.txt").write_text("one\ntwo, with a comma\nthree\n")
    (tmp_path / "a.json").write_text('["one", "two, with a comma", "three"]')
    (tmp_path / "a.csv").write_text('prompt\none\n"two, with a comma"\nthree\n')
    for name in ("a.txt", "a.json", "a.csv"):
        assert captions_of(images, str(tmp_path / name)) == ["one", "two, with a comma", "three"]


@pytest.mark.parametrize("suffix", ["txt", "json"])
def test_shards_bring_their_captions(tmp_path: Path, suffix: str) -> None:
    images = open_images(str(write_shards(tmp_path, random_images(7), suffix=suffix)))
    assert captions_of(images, None) == [f"caption {index}" for index in range(7)]


def test_names_match_without_folder_and_suffix(tmp_path: Path) -> None:
    write_folder(tmp_path / "images" / "part-0", random_images(2))
    images = open_images(str(tmp_path / "images"))
    for names in (("part-0/0", "part-0/1"), ("0.png", "1.png"), ("0.jpg", "1.jpg"), ("x/0", "y/1")):
        rows = dict(zip(names, ("first", "second"), strict=True))
        (tmp_path / "a.json").write_text(json.dumps(rows))
        assert captions_of(images, str(tmp_path / "a.json")) == ["first", "second"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "one\ntwo\n", "2 in .* for 3 images"),
        ("a.txt", "", "holds none"),
        ("a.txt", "one\n\nthree\n", "line 2 needs the text of a caption"),
        ("a.pdf", "", "'a.pdf' has no known form; allowed: .txt, .jsonl"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "3", "holds neither a list"),
        ("a.json", '{"annotations": [{"id": 1}]}', "not as COCO's caption annotations are"),
        (
            "a.jsonl",
            '{"caption": "a"}\n{"words": "b"}\n',
            "line 2 needs a text under caption or text or prompt",
        ),
        ("a.jsonl", '{"caption": "a", "file": "0.png"}\n{"caption": "b"}\n', "line 2 lacks the file_name"),
        ("a.jsonl", "[1]\n", r"line 1 needs a text .* it has \[1\]"),
        ("a.csv", "file_name,caption\n0.png,a\n1.png,b\n", "1 of 3 images have none in .*: 2.png"),
        ("a.csv", "file,caption\n0.png,a\n1.png,b\n2.png,c\n3.png,d\n", "1 of 4 in .* lack an image: 3.png"),
        ("a.csv", "file,caption\n0.png,a\n0.png,b\n", "names 1 images twice: 0.png"),
        ("a.parquet", "", "cannot be read as parquet"),
    ],
)
def test_mismatches_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    images = open_images(str(write_folder(tmp_path / "images", random_images(3))))
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"^captions: .*{message}") as raised:
        captions_of(images, str(tmp_path / name))
    assert "\n" not in str(raised.value)


def test_ambiguous_base_names_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "images" / "a", random_images(1))
    write_folder(tmp_path / "images" / "b", random_images(1))
    (tmp_path / "a.json").write_text('{"0.png": "which?"}')
    with pytest.raises(InputError, match=r"leaves open what they are among a/0\.png, b/0\.png"):
        captions_of(open_images(str(tmp_path / "images")), str(tmp_path / "a.json"))


def test_a_list_chooses_among_the_images(tmp_path: Path) -> None:
    pixels = random_images(5)
    images = open_images(str(write_folder(tmp_path / "images", pixels)))
    (tmp_path / "a.csv").write_text("file_name,caption\n3.jpg,x\n0.jpg,y\n3.jpg,z\n")
    chosen = named_in(str(tmp_path / "a.csv"), images, "reference_list")
    assert chosen.names == ["0.png", "3.png"]
    assert np.array_equal(decoded(chosen), pixels[[0, 3]])
    assert chosen.stamp(1) == images.stamp(3)
    (tmp_path / "b.csv").write_text("file_name,caption\n3.png,x\n7.png,y\n")
    with pytest.raises(InputError, match=r"^reference_list: 1 images that .* names are missing: 7\.png"):
        named_in(str(tmp_path / "b.csv"), images, "reference_list")
    write_folder(tmp_path / "images" / "again", pixels)
    both = open_images(str(tmp_path / "images"))  # 3.png and again/3.png, and no 8.png in either
    (tmp_path / "d.csv").write_text("file_name,caption\nx/3.png,x\nx/8.png,y\n")
    with pytest.raises(InputError, match=r"are missing: x/8\.png"):
        named_in(str(tmp_path / "d.csv"), both, "reference_list")
    (tmp_path / "e.csv").write_text("file_name,caption\nx/3.png,x\n")
    with pytest.raises(InputError, match="leaves open which images it means"):
        named_in(str(tmp_path / "e.csv"), both, "reference_list")
    (tmp_path / "c.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"^reference_list: .* names no images"):
        named_in(str(tmp_path / "c.txt"), images, "reference_list")


def test_captions_must_be_somewhere(tmp_path: Path) -> None:
    images = open_images(str(write_folder(tmp_path, random_images(1))))
    with pytest.raises(InputError, match="captions: missing; give captions="):
        captions_of(images, None)
    with pytest.raises(InputError, match=r"cannot be read: .*No such file"):
        read_captions(str(tmp_path / "none.txt"))


def test_some_images_of_a_shard_without_caption_are_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"0.png": png(random_images(1)[0]), "0.txt": b"zero", "1.png": b""})
    with pytest.raises(InputError, match=r"1 of 2 images have none in the images' shards: a\.tar/1\.png"):
        captions_of(open_images(str(tmp_path / "a.tar")), None)


def test_members_that_are_passed_over_are_counted_and_named(tmp_path: Path) -> None:
    """webdataset takes all behind the first dot for the suffix: of a second image, or a dotted name."""
    image = png(random_images(1)[0])
    (tmp_path / "shards").mkdir()
    names = ("0.png", "0.seg.png", "img.v1.png", "0.cls", "._0.png", "1.heic")
    write_shard(tmp_path / "shards" / "a.tar", dict.fromkeys(names, image))
    with tarfile.open(tmp_path / "shards" / "a.tar", "a") as archive:
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0.png"
        archive.addfile(link)
    (tmp_path / "shards" / "b.tar.gz").touch()
    images = open_images(str(tmp_path / "shards"))
    assert images.names == ["a.tar/0.png"]
    dotted = images.passed_over.first.pop(DOTTED)
    assert dotted == ["a.tar/0.seg.png", "a.tar/img.v1.png"]
    assert images.passed_over.first == {
        ".cls": ["a.tar/0.cls"], ".heic": ["a.tar/1.heic"], "links": ["a.tar/2.png"], ".gz": ["b.tar.gz"],
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", random_images(2), labels=np.arange(2))
    assert open_images(str(tmp_path / "a.npz")).passed_over.first == {"other arrays": ["labels"]}
    write_shard(tmp_path / "c.tar", {"img.v1.png": image})
    with pytest.raises(
        InputError, match=r"holds no image; passed over: 1 of dotted names.*c\.tar/img\.v1\.png"
    ):
        open_images(str(tmp_path / "c.tar"))


def test_an_empty_text_does_not_hide_the_json_beside_it(tmp_path: Path) -> None:
    image = png(random_images(1)[0])
    files = {
        "0.png": image,
        "0.txt": b"\n",
        "0.json": b'{"caption": "zero"}',
        "1.png": image,
        "1.txt": b"one",
    }
    write_shard(tmp_path / "a.tar", files | {"1.json": b"not read"})
    assert captions_of(open_images(str(tmp_path / "a.tar")), None) == ["zero", "one"]
    write_shard(tmp_path / "b.tar", files | {"0.json": b'{"caption": ""}'})
    with pytest.raises(InputError, match=r"b\.tar/0\.json needs the text of a caption; it is empty"):
        captions_of(open_images(str(tmp_path / "b.tar")), None)


def test_names_meet_in_any_unicode_form_and_with_dots(tmp_path: Path) -> None:
    composed, decomposed = "M\u00fcll.png", "Mu\u0308ll.png"
    for name in (decomposed, "img.v1.png"):
        (tmp_path / name).write_bytes(png(random_images(1)[0]))
    images = open_images(str(tmp_path))
    for rows in ({composed: "a", "img.v1.png": "b"}, {"x/M\u00fcll": "a", "img.v1": "b"}):
        (tmp_path / "a.json").write_text(json.dumps(rows))
        assert sorted(captions_of(images, str(tmp_path / "a.json"))) == ["a", "b"]
        assert len(named_in(str(tmp_path / "a.json"), images, "reference_list").names) == 2


def test_a_name_that_is_not_utf8_is_read_and_printed(tmp_path: Path) -> None:
    pixels = random_images(1)
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        file.write(png(pixels[0]))
    images = open_images(str(tmp_path))
    assert images.names == ["\\xff.png"] and images.stamp(0) != "missing"
    assert np.array_equal(decoded(images), pixels)

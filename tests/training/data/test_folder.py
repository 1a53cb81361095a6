"""A folder of images; what is wrong with it is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from space.shared.plain import InputError, first_few
from training.data.factory import load_data
from training.data.folder import FolderSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images, wide ones with a white centre but for a corner of their own grey, and their captions."""
    rows = []
    for index in range(20):
        image = np.zeros((20, 40, 3), np.uint8)
        image[:, 10:30] = 255
        image[:2, 10:12] = 10 * index
        Image.fromarray(image).save(tmp_path / f"{index}.png")
        rows.append({"file": f"{index}.png", "caption": f"image {index}"})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def folder_settings(folder: Path, **changes: object) -> FolderSettings:
    return FolderSettings(folder=str(folder), image_size_px=16, held_out_share=0.25, **changes)  # type: ignore[arg-type]


def test_folder_takes_the_centre_square(folder: Path) -> None:
    images, _ = load_data(folder_settings(folder)).train(range(15))
    assert images.shape == (15, 3, 16, 16) and (images[:, :, 6:, 6:] == 1).all()


def test_folder_beyond_the_memory_gives_the_same_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(20):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{index}.png")
    kept, read = load_data(folder_settings(folder)), load_data(folder_settings(folder, memory_mib=0))
    assert kept.train_captions == read.train_captions
    assert torch.equal(kept.train([3, 1])[0], read.train([3, 1])[0])
    (folder / "3.png").write_bytes(b"broken since")
    with pytest.raises(InputError, match=r"3\.png: cannot be read any more"):
        read.train(range(15)), read.held_out(range(5))


def test_folder_finds_images_that_rows_name_without_their_suffix(folder: Path) -> None:
    """Numbers, as evaluation takes them; of two images of one name, neither."""
    expected = load_data(folder_settings(folder))
    rows = [{"image": index, "caption": f"image {index}"} for index in range(20)]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load_data(folder_settings(folder))
    assert data.train_captions == expected.train_captions and not data.notes()
    Image.new("RGB", (20, 20)).save(folder / "3.jpg")
    with pytest.raises(InputError, match="1 of 20 images cannot be read"):
        load_data(folder_settings(folder, max_unreadable_share=0.01))


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_folder_reads_tables(folder: Path, suffix: str, delimiter: str) -> None:
    (folder / "captions.jsonl").unlink()
    lines = [f'{index}.png{delimiter}"an image, number {index}"' for index in range(20)]
    (folder / f"captions.{suffix}").write_text("\n".join([f"file{delimiter}caption", *lines]))
    data = load_data(folder_settings(folder))
    assert sorted(data.train_captions + data.held_out_captions) == sorted(
        f"an image, number {index}" for index in range(20)
    )


def test_unreadable_images_are_named_counted_and_left_out(folder: Path) -> None:
    (folder / "4.png").write_bytes(b"no image")
    truncated = (folder / "6.png").read_bytes()
    (folder / "6.png").write_bytes(truncated[: len(truncated) // 2])
    data = load_data(folder_settings(folder, max_unreadable_share=0.1))
    assert data.unreadable == ["4.png", "6.png"]
    assert "image 4" not in data.train_captions + data.held_out_captions
    with pytest.raises(InputError, match=r"2 of 20 .*\(4\.png, 6\.png\).*at most 5%"):
        load_data(folder_settings(folder))


def test_a_long_list_of_unreadable_files_is_cut() -> None:
    assert first_few([f"{i}.png" for i in range(7)]) == "0.png, 1.png, 2.png, 3.png, 4.png and 2 more"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.jsonl", '{"file": "0.png", "caption": "x"}\n{"file": "1.png"}', "line 2 needs a text"),
        ("c.jsonl", '{"file": "0.png", "caption": "x"}\n\nnonsense', "line 3 is not JSON"),
        ("c.jsonl", "[1]", "line 1 needs a text"),
        ("c.jsonl", "", "holds none"),
        ("c.csv", "picture,words\n0.png,x", "line 2 needs a text under caption .* it has picture, words"),
        ("c.tsv", "file\tcaption\n0.png", "line 2 needs a text"),
        ("c.txt", "x", "names no images, in any of file_name, file"),
        ("c.jsonl", '{"file": "", "caption": "x"}', "line 1: its file is empty"),
        ("c.csv", 'file,caption\n0.png,"x\n1.png,y', "line 2"),
        ("c.xml", "x", "no known form"),
        ("c.csv", "file,caption\n\udcff,x", "utf-8"),
    ],
)
def test_captions_of_the_wrong_form_name_their_line(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        load_data(folder_settings(folder, captions=name))


def test_missing_folder_and_captions_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.folder: '.*nowhere' is no folder; .* beside resume="):
        load_data(folder_settings(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"none of captions\.jsonl, captions\.csv, captions\.tsv"):
        load_data(folder_settings(tmp_path))
    with pytest.raises(InputError, match="is no file, neither by itself nor in"):
        load_data(folder_settings(tmp_path, captions="other.csv"))
    with pytest.raises(InputError, match="folder: missing"):
        FolderSettings(folder="")


def test_what_no_caption_names_and_what_is_no_image_is_told(folder: Path) -> None:
    for name in ("new.png", "a.heic"):
        (folder / name).write_bytes((folder / "0.png").read_bytes())
    (folder / "4.png").write_bytes(b"no image")
    unreadable, passed_over = load_data(folder_settings(folder)).notes()
    assert unreadable.endswith("unreadable: 1 (4.png)")
    assert "passed over: " in passed_over
    assert "1 .heic (a.heic)" in passed_over and "1 without a caption (new.png)" in passed_over


@pytest.mark.parametrize("memory_mib", [1024, 0])
def test_transparency_that_is_dropped_is_told(folder: Path, memory_mib: int) -> None:
    """By an alpha channel or a palette; what lies beneath is learnt, as it always was."""
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(folder / "3.png")
    palette = Image.new("P", (20, 20))
    palette.save(folder / "5.png", transparency=0)
    data = load_data(folder_settings(folder, memory_mib=memory_mib))
    (line,) = data.notes()
    assert line.startswith("transparency is dropped") and "2 of 20 images (3.png, 5.png)" in line
    assert "data=stream" in line


def test_a_copy_that_is_held_out_is_told(folder: Path) -> None:
    """Whatever it is called; two copies in one split are no matter."""
    data = load_data(folder_settings(folder))
    held_out, trained = data.held_out_captions[0].split()[1], [c.split()[1] for c in data.train_captions[:2]]
    (folder / f"{trained[1]}.png").write_bytes((folder / f"{trained[0]}.png").read_bytes())
    assert load_data(folder_settings(folder)).notes() == []
    (folder / f"{held_out}.png").write_bytes((folder / f"{trained[0]}.png").read_bytes())
    (told,) = load_data(folder_settings(folder)).notes()
    assert told.startswith("held out ") and told.endswith(f": 1 ({held_out}.png)")


def test_an_image_is_found_in_another_unicode_form(folder: Path) -> None:
    rows = [{"file": f"{index}.png", "caption": f"image {index}"} for index in range(20)]
    (folder / "7.png").rename(folder / "u\u0308.png")
    rows[7]["file"] = "\u00fc.png"
    rows[8]["file"] = "u\u0308.png"  # the same image once more
    (folder / "8.png").unlink()
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load_data(folder_settings(folder))
    assert data.unreadable == [] and data.notes() == []
    assert data.train_images + len(data.held_out_captions) == 19

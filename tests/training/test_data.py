"""Pictures, captions and splits; what is wrong with a folder is said in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from space.shared.plain import InputError
from training.data import DIGITS, Dataset, DataSettings, load_data
from training.folder import named
from training.scenes import BACKGROUNDS, COLOURS, render_scenes, scene_captions


def test_scenes_have_720_captions_and_both_splits_show_all_of_them() -> None:
    data = load_data(DataSettings())
    assert len(set(scene_captions())) == 720
    assert set(data.train_captions) == set(data.held_out_captions) == set(scene_captions())
    assert len(data.train_captions) == 4320 and len(data.held_out_captions) == 1440


def test_a_scene_shows_what_its_caption_says() -> None:
    captions, pictures = scene_captions(), render_scenes(720, 32, seed=3)
    rows = {"top": 0.28, "centre": 0.5, "bottom": 0.72}
    columns = {"left": 0.28, "centre": 0.5, "right": 0.72}
    areas: dict[str, list[int]] = {"small": [], "large": []}
    for caption, picture in zip(captions, pictures, strict=True):
        words = caption.split()
        ink, paper = np.array(COLOURS[words[2]]), np.array(BACKGROUNDS[words[-1]])
        assert abs(picture[0, 0] - paper).max() <= 1
        is_ink = abs(picture.astype(int) - ink).max(axis=2) <= 1
        y, x = (np.nonzero(is_ink)[axis].mean() / 32 for axis in (0, 1))
        assert abs(y - next(rows[word] for word in words if word in rows)) < 0.1
        assert abs(x - next(columns[word] for word in reversed(words) if word in columns)) < 0.1
        areas[words[1]].append(int(is_ink.sum()))
    assert np.mean(areas["large"]) > 2 * np.mean(areas["small"])


def test_shapes_differ_by_the_area_that_geometry_gives_them() -> None:
    """Of a circle of radius r: pi r^2; a square (1.76 r)^2; a cross of arms 0.66 r: 4 * .66 - .66^2 ..."""
    captions, pictures = scene_captions(), render_scenes(720, 128, seed=0)
    r = 0.22 * 128
    for shape, area in {
        "circle": np.pi * r**2,
        "square": (1.76 * r) ** 2,
        "cross": (2 * 2 * 0.66 - 0.66**2) * r**2,
        "triangle": 0.5 * (1.75 * r) ** 2,
    }.items():
        inked = [
            (abs(picture.astype(int) - picture[0, 0]).max(axis=2) > 60).sum()
            for caption, picture in zip(captions, pictures, strict=True)
            if f" {shape} " in caption and "large" in caption and "blue" in caption
        ]
        assert np.mean(inked) == pytest.approx(area, rel=0.12), shape


def test_train_and_held_out_scenes_share_no_picture() -> None:
    data = load_data(DataSettings(scenes=1440))
    train, _ = data.train(range(len(data.train_captions)))
    held_out, _ = data.held_out(range(len(data.held_out_captions)))
    seen = {picture.numpy().tobytes() for picture in train}
    assert not seen & {picture.numpy().tobytes() for picture in held_out}


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    assert (render_scenes(50, 16, seed=1) == render_scenes(90, 16, seed=1)[:50]).all()
    assert (render_scenes(50, 16, seed=1) != render_scenes(50, 16, seed=2)).any()


def test_pictures_are_floats_between_minus_one_and_one(scenes: Dataset) -> None:
    images, captions = scenes.train([0, 5, 7])
    assert images.shape == (3, 3, 16, 16) and images.dtype == torch.float32
    assert -1 <= images.min() < -0.5 and 0.5 < images.max() <= 1
    assert captions == [scenes.train_captions[i] for i in (0, 5, 7)]


def test_digest_is_equal_in_another_process_and_follows_the_content(scenes: Dataset) -> None:
    code = "from training.data import *; print(load_data(DataSettings(scenes=960, image_size_px=16)).digest)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == scenes.digest
    assert load_data(DataSettings(scenes=960, image_size_px=16, seed=1)).digest != scenes.digest
    assert load_data(DataSettings(scenes=959, image_size_px=16)).digest != scenes.digest


def test_digits_are_captioned_by_their_label() -> None:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    data = load_data(DataSettings(name="digits", image_size_px=32))
    assert len(data.train_captions) + len(data.held_out_captions) == 1797
    images, captions = data.held_out(range(40))
    # Shrunk back, a picture is nearest to the scan that it was made of, whose label its caption says.
    small = torch.nn.functional.interpolate(images, size=8, mode="area")[:, 0].flatten(1).numpy()
    distance = np.linalg.norm(small[:, None] - (scans / 8 - 1)[None], axis=2)
    for caption, label in zip(captions, labels[distance.argmin(axis=1)], strict=True):
        assert DIGITS[label] in caption.split()


def test_vocabulary_holds_the_words_of_the_training_captions(scenes: Dataset) -> None:
    assert {"a", "large", "red", "circle", "navy", "centre"} <= set(scenes.vocabulary)
    assert scenes.vocabulary == sorted(set(scenes.vocabulary)) and "" not in scenes.vocabulary


# ---------------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures, wide ones with a white centre, and their captions."""
    rows = []
    for index in range(20):
        picture = np.zeros((20, 40, 3), np.uint8)
        picture[:, 10:30] = 255
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
        rows.append({"file": f"{index}.png", "caption": f"picture {index}"})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def folder_settings(folder: Path, **changes: object) -> DataSettings:
    return DataSettings(name="folder", folder=str(folder), image_size_px=16, **changes)  # type: ignore[arg-type]


def test_folder_takes_the_centre_square(folder: Path) -> None:
    images, _ = load_data(folder_settings(folder)).train(range(15))
    assert images.shape == (15, 3, 16, 16) and (images == 1).all()


def test_folder_beyond_the_memory_gives_the_same_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(20):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{index}.png")
    kept, read = load_data(folder_settings(folder)), load_data(folder_settings(folder, memory_mib=0))
    assert kept.train_captions == read.train_captions
    assert torch.equal(kept.train([3, 1])[0], read.train([3, 1])[0])
    (folder / "3.png").write_bytes(b"broken since")
    with pytest.raises(InputError, match=r"3\.png: cannot be read any more"):
        read.train(range(15)), read.held_out(range(5))


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_folder_reads_tables(folder: Path, suffix: str, delimiter: str) -> None:
    (folder / "captions.jsonl").unlink()
    lines = [f'{index}.png{delimiter}"a picture, number {index}"' for index in range(20)]
    (folder / f"captions.{suffix}").write_text("\n".join([f"file{delimiter}caption", *lines]))
    data = load_data(folder_settings(folder))
    assert sorted(data.train_captions + data.held_out_captions) == sorted(
        f"a picture, number {index}" for index in range(20)
    )


def test_unreadable_images_are_named_counted_and_left_out(folder: Path) -> None:
    (folder / "4.png").write_bytes(b"no image")
    truncated = (folder / "6.png").read_bytes()
    (folder / "6.png").write_bytes(truncated[: len(truncated) // 2])
    data = load_data(folder_settings(folder, max_unreadable_share=0.1))
    assert data.unreadable == ["4.png", "6.png"]
    assert "picture 4" not in data.train_captions + data.held_out_captions
    with pytest.raises(InputError, match=r"2 of 20 images cannot be read \(4\.png, 6\.png\).*at most 5%"):
        load_data(folder_settings(folder))


def test_a_long_list_of_unreadable_files_is_cut() -> None:
    assert named([f"{i}.png" for i in range(7)]) == "0.png, 1.png, 2.png, 3.png, 4.png and 2 more"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.jsonl", '{"file": "0.png", "caption": "x"}\n{"file": "1.png"}', "line 2: needs the texts"),
        ("c.jsonl", '{"file": "0.png", "caption": "x"}\n\nnonsense', "line 3: not JSON"),
        ("c.jsonl", "[1]", "line 1: expected"),
        ("c.jsonl", "", "names no image"),
        ("c.csv", "image,text\n0.png,x", r"line 1: the header is \['image', 'text'\]; needed: file, caption"),
        ("c.tsv", "file\tcaption\n0.png", "line 2: needs the texts"),
        ("c.txt", "x", "no known form"),
        ("c.csv", "file,caption\n\udcff,x", "UTF-8"),
    ],
)
def test_captions_of_the_wrong_form_name_their_line(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        load_data(folder_settings(folder, captions=name))


def test_missing_folder_and_captions_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"folder: '.*nowhere' is no folder"):
        load_data(folder_settings(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"none of captions\.jsonl, captions\.csv, captions\.tsv"):
        load_data(folder_settings(tmp_path))
    with pytest.raises(InputError, match="is no file, neither by itself nor in"):
        load_data(folder_settings(tmp_path, captions="other.csv"))
    with pytest.raises(InputError, match="folder: missing"):
        DataSettings(name="folder")

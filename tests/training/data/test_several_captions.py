"""Images of several captions: split by image, counted in images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from mdsearch.api import settings_of
from search.preparation import data_in_words
from search.scoring.embedded import prepare_embedded
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.data.folder import FolderSettings

IMAGES, CAPTIONS = 20, 5


def write_images(folder: Path) -> None:
    """Image i is of the grey 10 i alone."""
    for index in range(IMAGES):
        Image.fromarray(np.full((8, 8, 3), 10 * index, np.uint8)).save(folder / f"{index}.png")


def write_captions(folder: Path, rows: list[tuple[str, str]]) -> None:
    lines = (json.dumps({"file": name, "caption": text}) for name, text in rows)
    (folder / "captions.jsonl").write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images of five captions each, in rows that lie apart; one row writes its path otherwise."""
    write_images(tmp_path)
    write_captions(
        tmp_path,
        [
            (f"./{index}.png" if caption == 3 else f"{index}.png", f"image {index} caption {caption}")
            for caption in range(CAPTIONS)
            for index in range(IMAGES)
        ],
    )
    return tmp_path


def test_an_image_named_from_the_root_too_is_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's own path being relative."""
    monkeypatch.chdir(tmp_path.parent)
    rows = [(f"{index}.png", f"image {index}") for index in range(IMAGES)]
    write_captions(tmp_path, rows + [(str(tmp_path / name), f"{text} again") for name, text in rows])
    data = loaded(Path(tmp_path.name))
    assert (data.train_images, len(data.train_captions)) == (15, 30)
    assert not set(greys(data, "train")) & set(greys(data, "held_out"))


def loaded(folder: Path, **changes: float) -> Dataset:
    settings = FolderSettings(folder=str(folder), image_size_px=8, held_out_share=0.25, **changes)  # type: ignore[arg-type]
    return load_data(settings)


def greys(data: Dataset, split: str) -> list[int]:
    """The number of the image behind each caption of a split, as its pixels say it."""
    captions = data.train_captions if split == "train" else data.held_out_captions
    images, said = getattr(data, split)(range(len(captions)))
    assert said == captions
    return [round(float(image.mean() + 1) * 127.5) // 10 for image in images]


@pytest.mark.parametrize("memory_mib", [1024, 0])
def test_no_image_is_in_both_splits(folder: Path, memory_mib: int) -> None:
    data = loaded(folder, memory_mib=memory_mib)
    trained, held_out = greys(data, "train"), greys(data, "held_out")
    assert not set(trained) & set(held_out) and set(trained) | set(held_out) == set(range(IMAGES))
    in_order = [f"image {number} caption {c}" for number in trained[::CAPTIONS] for c in range(CAPTIONS)]
    assert data.train_captions == in_order


def test_what_is_held_out_counts_images_by_their_first_captions(folder: Path) -> None:
    data = loaded(folder)
    held_out = greys(data, "held_out")
    assert len(set(held_out)) == len(held_out) == 5 and data.train_images == 15
    assert data.held_out_captions == [f"image {number} caption 0" for number in held_out]
    assert len(data.train_captions) == 75
    assert data.first_captions.tolist() == list(range(0, 75, CAPTIONS))
    told = data_in_words(data)
    assert told.startswith("data folder: 15 images ") and " 75 captions, 5 held out, 8 px" in told


def test_the_split_is_that_of_the_images_alone(folder: Path, tmp_path: Path) -> None:
    several = loaded(folder)
    write_captions(folder, [(f"{index}.png", f"image {index}") for index in range(IMAGES)])
    one = loaded(folder)
    assert greys(one, "held_out") == greys(several, "held_out")
    assert greys(one, "train") == greys(several, "train")[::CAPTIONS]
    assert one.digest != several.digest


def test_unreadable_images_are_counted_once(folder: Path) -> None:
    (folder / "4.png").write_bytes(b"no image")
    data = loaded(folder, max_unreadable_share=0.05)
    assert data.unreadable == ["4.png"]
    assert sorted({*greys(data, "train"), *greys(data, "held_out")}) == [i for i in range(IMAGES) if i != 4]


def test_what_scores_a_search_learns_from_one_caption_an_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one would be wrong for its own image; its references are the held-out images, once each."""
    words = ["data=folder", f"data.folder={folder}", "data.image_size_px=48", "data.held_out_share=0.25"]
    settings, _ = settings_of([*words, f"cache_folder={tmp_path / 'cache'}"])
    data, given = load_data(settings.data), dict[str, Any]()
    monkeypatch.setattr(Evaluator, "prepare", lambda *arguments, **named: given.update(named))
    assert isinstance(settings.evaluators, EvaluatorSettings)
    said: list[str] = []
    prepare_embedded(settings, settings.evaluators, tmp_path / "evaluator", data, said.append)
    assert (
        "trained once on these images, about 1 min 20 s on one core" in said[0]
    )  # four times the pixels of 24 px
    images, captions = given["train"](range(given["train_count"]))
    assert len(images) == 15 and len({image.tobytes() for image in images}) == 15
    assert captions == [caption for caption in data.train_captions if caption.endswith("caption 0")]
    assert len(given["held_out_images"]) == len(given["held_out_captions"]) == 5

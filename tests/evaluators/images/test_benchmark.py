"""Images and the prompts of a benchmark's styles: by folder and number, or by a number through all."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.images.benchmark import benchmark_prompts, captions_and_styles
from space.shared.plain import InputError
from space.shared.prompt_styles import StylePrompts, style_prompts

STYLES = ("anime", "concept-art", "paintings", "photo")


def named(*names: str) -> Any:
    return SimpleNamespace(names=list(names))


def write_benchmark(folder: Path, prompts: int = 2) -> Path:
    folder.mkdir()
    for style in STYLES:
        (folder / f"{style}.json").write_text(json.dumps([f"{style} {n}" for n in range(prompts)]))
    return folder


def test_both_layouts_give_the_same_prompts(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "benchmark")
    by_folder = [f"{style}/{number:05d}.jpg" for style in STYLES for number in range(2)]
    by_number = [f"{number:06d}.png" for number in range(8)]
    for names in (by_folder, by_number):
        found = captions_and_styles(named(*names), str(tmp_path), str(folder), of_benchmark=False)
        assert found.texts == tuple(f"{style} {number}" for style in STYLES for number in range(2))
        assert found.styles == tuple(style for style in STYLES for _ in range(2))
    shuffled = captions_and_styles(named(*by_folder[::-1]), str(tmp_path), str(folder), of_benchmark=False)
    assert shuffled.texts == found.texts[::-1]


def test_one_style_alone_is_one_where_the_benchmark_is_asked_for(tmp_path: Path) -> None:
    file = str(write_benchmark(tmp_path / "benchmark") / "photo.json")
    alone = captions_and_styles(named("0.png", "1.png"), str(tmp_path), file, of_benchmark=True)
    assert alone.styles == ("photo", "photo") and alone.texts == ("photo 0", "photo 1")
    prompts = style_prompts(file)
    assert prompts is not None and benchmark_prompts(named("photo/00000.jpg", "photo/00001.jpg"), prompts)
    rows = [{"file": "a.png", "caption": "one"}]
    (tmp_path / "photo.json").write_text(json.dumps(rows))  # somebody's own file of that name
    assert style_prompts(tmp_path / "photo.json") is None
    assert style_prompts(tmp_path / "other.txt") is None


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["anime/00000.jpg", "photo/00000.jpg"],
            "2 of the benchmark's 4 prompts lack their image: anime/00001, p",
        ),
        (["0.png", "1.png", "3.png"], "1 of the benchmark's 4 prompts lack their image: photo/00000"),
        (
            ["0.png", "1.png", "2.png", "3.png", "4.png"],
            r"1 are of none .*: 4\.png; needed: <style>/<number>",
        ),
        (["a/0.png", "photo/0.png"], r"1 are of none of the benchmark's prompts: a/0\.png"),
        (["0.png", "photo/0.png"], r"1 are of none of the benchmark's prompts: 0\.png"),
        (["cat.png"], r"1 are of none of the benchmark's prompts: cat\.png"),
        (["0.png", "1.png", "2.png", "3.png", "03.jpg"], r"1 are of a prompt that has its image: 03\.jpg"),
    ],
)
def test_what_lacks_its_partner_is_named(names: list[str], said: str) -> None:
    prompts = StylePrompts({"anime": ["a", "b"], "photo": ["c", "d"]})
    with pytest.raises(InputError, match=f"^images: {said}"):
        benchmark_prompts(named(*names), prompts)


def test_a_folder_without_all_of_its_files_is_refused(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "benchmark")
    (folder / "photo.json").unlink()
    with pytest.raises(
        InputError, match=r"^captions: the folder .* lacks photo\.json; allowed: .*anime\.json"
    ):
        style_prompts(folder)
    (folder / "photo.json").write_text('{"a.png": "a photo"}')
    with pytest.raises(InputError, match=r"photo\.json names images; needed: a list of texts"):
        style_prompts(folder)

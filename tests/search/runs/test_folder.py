"""Whose folder a run is, where it is away, and data that lies elsewhere when it is gone on with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdsearch.api import settings_of
from search.preparation import header_of
from search.runs.bundle import bundled_of
from search.runs.files import make_job_folder
from search.runs.folder import begin_record, claim_folder, moved_data, new_folder, stored_settings
from search.runs.record import Record
from space.shared.plain import InputError
from space.shared.retries import storage_error
from tests.search.sweeps import searches_of
from training.data.factory import load_data


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: form.replace("%Y%m%d-%H%M%S", "now"))


def test_searches_that_start_in_one_second_have_a_folder_each(tmp_path: Path, one_second: None) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(new_folder, [tmp_path / "runs"] * 4))
    assert {folder.name for folder in folders} == {
        "search-now", "search-now_2", "search-now_3", "search-now_4"
    }  # fmt: skip
    settings, _ = settings_of([f"runs_folder={tmp_path / 'runs'}"])
    assert claim_folder(settings).name == "search-now_5"


def test_so_have_those_of_two_sweeps(tmp_path: Path, one_second: None) -> None:
    words = [f"runs_folder={tmp_path}", "seed=1,2"]
    sweeps = [[settings.name for settings in searches_of(words, 2)] for _ in range(2)]
    assert sweeps == [["search-now-1", "search-now-2"], ["search-now_2-1", "search-now_2-2"]]


def test_nothing_is_made_in_place_of_a_run_folder_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the run folder is away") as caught:
        make_job_folder(tmp_path / "run", "3")
    assert storage_error(caught.value) and not (tmp_path / "run").exists()


# ---------------------------------------------------------------------- data that has moved


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run on the images of `photos`, which then become those of `elsewhere`."""
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"), seed=0)
    settings, words = settings_of(["data=folder", "data.folder=photos", "runs_folder=runs", "name=a"])
    folder = claim_folder(settings)
    record = Record(folder)
    begin_record(settings, folder, record, header_of(settings, folder, words))
    digest = load_data(settings.data).digest
    record.append("start", scores={}, protocol={"reference": {"data_digest": digest}}, protocol_id="x")
    record.append("session", trials=8, backend="ray", own={})
    record.close()
    Path("photos").rename("elsewhere")
    yield folder


def photos(folder: Path, seed: int) -> None:
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for number in range(4):
        pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    rows = [f"{number}.png,a picture of {number}" for number in range(4)]
    (folder / "captions.csv").write_text("\n".join(["file_name,caption", *rows]))


def test_a_run_is_gone_on_with_where_its_images_are_the_same(run: Path) -> None:
    now, _ = settings_of([f"resume={run}", "data.folder=elsewhere"])
    assert claim_folder(now, load_data(now.data).digest) == run
    record = Record(run)
    record.append("session", trials=8, backend="ray", own={}, **moved_data(now))
    record.close()
    again, words = settings_of([f"resume={run}", "trials=9"])
    assert again.data == stored_settings(run).data == now.data
    assert claim_folder(again) == run  # nothing has changed since
    assert moved_data(again) == {}
    assert [word for word in words if word.startswith("data")] == ["data=folder", "data.folder=elsewhere"]
    [bundled] = bundled_of(str(run)) if (run / "provenance.json").write_text("{}") else []
    assert "elsewhere" not in str(bundled.events)


def test_other_images_are_refused(run: Path) -> None:
    photos(Path("others"), seed=1)
    now, _ = settings_of([f"resume={run}", "data.folder=others"])
    with pytest.raises(InputError, match=r"resume: data differ from what runs/a was made with \(digest \w+"):
        claim_folder(now, load_data(now.data).digest)
    with pytest.raises(InputError, match="resume: budget differ"):
        claim_folder(replace(now, data=stored_settings(run).data, budget=replace(now.budget, gmacs=3.0)))


def test_so_is_another_place_where_nothing_says_which_images_there_were(run: Path) -> None:
    lines = (run / "record.jsonl").read_text().splitlines(keepends=True)
    (run / "record.jsonl").write_text(lines[0])
    now, _ = settings_of([f"resume={run}", "data.folder=elsewhere"])
    with pytest.raises(InputError, match="it recorded no digest to know them by"):
        claim_folder(now, load_data(now.data).digest)

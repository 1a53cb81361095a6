"""Whose folder a run is, where it is away, and data that lies elsewhere when it is gone on with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdsearch.api import settings_of
from search.custom import digest_of
from search.preparation import header_of
from search.runs.bundle import bundled_of
from search.runs.compatibility import field_differences, foreign_parts, protocol_parts
from search.runs.files import make_job_folder
from search.runs.folder import begin_record, claim_folder, moved_places, new_folder, stored_settings
from search.runs.record import Record
from space.shared.plain import InputError
from space.shared.retries import storage_error
from tests.search.sweeps import searches_of
from tests.space.examples import example
from tests.space.price_lists import made_list
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


# ---------------------------------------------------------------------- what has moved


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
    record.append("session", trials=8, backend="ray", own={}, **moved_places(now))
    record.close()
    again, words = settings_of([f"resume={run}", "trials=9"])
    assert again.data == stored_settings(run).data == now.data
    assert claim_folder(again) == run  # nothing has changed since
    assert moved_places(again) == {}
    assert [word for word in words if word.startswith("data")] == ["data=folder", "data.folder=elsewhere"]
    [bundled] = bundled_of(str(run)) if (run / "provenance.json").write_text("{}") else []
    assert "elsewhere" not in str(bundled.events)


def test_other_images_are_refused(run: Path) -> None:
    photos(Path("others"), seed=1)
    now, _ = settings_of([f"resume={run}", "data.folder=others"])
    with pytest.raises(InputError, match=r"^resume: data .* runs/a .*\(digest \w+"):
        claim_folder(now, load_data(now.data).digest)
    with pytest.raises(InputError, match="resume: budget differ"):
        claim_folder(replace(now, data=stored_settings(run).data, budget=replace(now.budget, gmacs=3.0)))


def test_so_is_another_place_where_nothing_says_which_images_there_were(run: Path) -> None:
    lines = (run / "record.jsonl").read_text().splitlines(keepends=True)
    (run / "record.jsonl").write_text(lines[0])
    now, _ = settings_of([f"resume={run}", "data.folder=elsewhere"])
    with pytest.raises(InputError, match="it recorded no digest to know them by"):
        claim_folder(now, load_data(now.data).digest)


def test_images_that_have_changed_in_their_place_are_refused(run: Path) -> None:
    settings = stored_settings(run)
    with pytest.raises(InputError, match="data differ"):
        claim_folder(replace(settings, resume=str(run)), "another digest")


MODELS = {"training.text.folder": "clip", "training.latents.folder": "vae"}
PLACES = MODELS | {"scoring.reference": "statistics.safetensors", "sampler.use": "mine.py:Mine"}
PLACES["budget.prices"] = "list.json"


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose settings name folders and files of all kinds; only their digests matter here."""
    monkeypatch.chdir(tmp_path)
    for name in MODELS.values():
        Path(name).mkdir()
        for file in ("config.json", "tokenizer.json", "model.safetensors"):
            Path(name, file).write_text(f"{name}'s {file}")
    Path("statistics.safetensors").write_text("moments")
    Path("mine.py").write_text("class Mine: ...")
    made_list([example(0)]).write("list.json")
    words = ["training.text.encoder=clip", "training.latents.codec=vae", "sampler=custom", "evaluators=own"]
    words += [f"{name}={place}" for name, place in PLACES.items()]
    settings, words = settings_of([*words, "runs_folder=runs", "name=a"])
    folder = claim_folder(settings)
    record = Record(folder)
    begin_record(settings, folder, record, header_of(settings, folder, words))
    own = {PLACES["sampler.use"]: digest_of(PLACES["sampler.use"])}
    record.append("session", trials=8, backend="ray", own=own)
    record.close()
    return folder


@pytest.mark.parametrize("name", PLACES)
def test_whatever_a_run_names_may_have_moved_where_it_is_the_same(
    named: Path, name: str, tmp_path: Path
) -> None:
    old = PLACES[name].partition(":")[0]
    Path("elsewhere").mkdir()
    Path(old).rename(Path("elsewhere", old))
    now, _ = settings_of([f"resume={named}", f"{name}=elsewhere/{PLACES[name]}"])
    assert claim_folder(now) == named
    moved = moved_places(now)["moved"]
    place = f"elsewhere/{PLACES[name]}" if name != "budget.prices" else tmp_path / "elsewhere" / "list.json"
    assert moved["words"] == [f"{name}={place}"]
    record = Record(named)
    record.append("session", trials=8, backend="ray", own={}, **moved_places(now))
    record.close()
    again, words = settings_of([f"resume={named}", "trials=9"])
    assert moved_places(again) == {} and claim_folder(again) == named
    assert f"{name}={place}" in words and f"{name}={PLACES[name]}" not in words


@pytest.mark.parametrize("name", PLACES)
def test_other_files_in_another_place_are_refused_by_name(named: Path, name: str) -> None:
    old = PLACES[name].partition(":")[0]
    Path("elsewhere").mkdir()
    Path(old).rename(Path("elsewhere", old))
    changed = Path("elsewhere", old) if name not in MODELS else Path("elsewhere", old, "model.safetensors")
    changed.write_text("class Mine: 'another'")
    if name == "budget.prices":
        made_list([example(0)], factor=2.0).write(changed)
    now, _ = settings_of([f"resume={named}", f"{name}=elsewhere/{PLACES[name]}"])
    with pytest.raises(InputError, match=rf"resume: {name} differ .*\(digest \w+ against \w+\)"):
        claim_folder(now)


def test_two_moves_in_turn_are_both_kept(named: Path) -> None:
    for name, place in MODELS.items():
        Path(place).rename(f"new {place}")
        now, _ = settings_of([f"resume={named}", f"{name}=new {place}"])
        record = Record(named)
        record.append("session", trials=8, backend="ray", own={}, **moved_places(now))
        record.close()
    stored = stored_settings(named).training
    assert (stored.text.folder, stored.latents.folder) == ("new clip", "new vae")


def test_a_model_that_has_changed_in_its_place_is_refused(named: Path) -> None:
    (Path("clip") / "model.safetensors").write_text("of somebody else")
    now, _ = settings_of([f"resume={named}"])
    with pytest.raises(InputError, match=r"resume: training\.text\.folder differ"):
        claim_folder(now)


def test_a_run_of_before_says_that_it_kept_no_digest(named: Path) -> None:
    first, *rest = (named / "record.jsonl").read_text().splitlines(keepends=True)
    event = json.loads(first)
    assert set(event.pop("reads")) == {*MODELS, "scoring.reference"}
    (named / "record.jsonl").write_text("".join([json.dumps(event) + "\n", *rest]))
    now, _ = settings_of([f"resume={named}"])
    assert claim_folder(now) == named  # nothing has moved
    Path("clip").rename("elsewhere")
    now, _ = settings_of([f"resume={named}", "training.text.folder=elsewhere"])
    with pytest.raises(InputError, match=r"training\.text\.folder differ .*recorded no digest"):
        claim_folder(now)


def test_runs_compare_by_what_folders_hold_and_not_by_where_they_lie() -> None:
    ours = {"training": {"text": {"folder": "a"}}, "reads": {"training.text.folder": "0123"}}
    moved = ours | {"training": {"text": {"folder": "b"}}}
    assert field_differences(ours, moved, ["training"]) == []
    assert protocol_parts(ours) == protocol_parts(moved)
    other = moved | {"reads": {"training.text.folder": "4567"}}
    assert field_differences(ours, other, ["training"]) == ["training.text.folder: 0123 against 4567"]
    assert protocol_parts(ours) != protocol_parts(other)
    before = {"training": ours["training"]}  # by their places, as it was
    assert field_differences(before, ours, ["training"]) == []
    assert field_differences(before, moved, ["training"]) == ["training.text.folder: a against b"]
    assert foreign_parts(protocol_parts(before), ours) == []

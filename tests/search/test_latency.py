"""A search bounded by milliseconds, latency as a third objective, and which lists a record holds."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluators.latency.runtimes import Place, versions_of
from mdsearch.api import serve_settings, settings_of
from search.ask_tell import AskTell
from search.checks import check_choosing
from search.latency import (
    check_lists,
    check_same_lists,
    latency_notes,
    latency_score,
    lists_in_words,
    recorded_lists,
)
from search.objectives import FID_AND_CLIP, Objective
from search.runs.record import MemoryRecord
from search.samplers.random import RandomSampler
from search.stopping.none import NoStopping
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.strategies.phases import Phases
from search.toy import BUDGET, RUNGS, SPACE, START, drive
from space.budget import LATENCY, Budget
from space.paths import SpacePaths
from space.prices.coverage import parts_of_space
from space.prices.latency import PriceList
from space.proxy import Proxy
from space.shared.plain import InputError
from tests.search.test_ask_tell import settings_in
from tests.space.price_lists import list_of

OBJECTIVES = (*FID_AND_CLIP, Objective(LATENCY, "minimize", "log"))
WIDEST = {name: values[-1] for name, values in SPACE.choices()}


@pytest.fixture
def prices(tmp_path: Path) -> PriceList:
    return PriceList.load(list_of(parts_of_space(SPACE)).write(tmp_path / "list.json"))


def test_every_trial_fits_and_has_its_latency_as_a_score(prices: PriceList) -> None:
    """Of this space about half the networks are faster than the bound."""
    record = MemoryRecord(lambda: 0.0)
    smallest = SPACE.smallest(prices.milliseconds)
    bound = 2 * prices.milliseconds(smallest)
    budget = Budget(latency_ms=bound, prices=prices.source)
    start = {"fid_embedded_clip": START.fid, "clip_embedded": START.clip} | latency_score(budget, smallest)
    record.append("run", name="latency", trials=6, **recorded_lists(budget))
    record.append("start", scores=start, protocol={})
    task = SearchTask(
        space=SPACE,
        budget=budget,
        proxy=Proxy(),
        sampler=RandomSampler(0),
        rule=NoStopping(),
        objectives=OBJECTIVES,
        rungs=RUNGS,
        trials=6,
        seed=0,
    )
    search = ArchitectureSearch(record, task)
    drive(Phases(search, scores=lambda a: latency_score(budget, a), record=record), lambda a, step: START)
    trials = record.history.trials
    assert len(trials) == 6 and {trial.state for trial in trials} == {"complete"}
    for trial in trials:
        assert trial.score(LATENCY) == prices.milliseconds(trial.architecture) <= bound
    reasons = [event.reason for event in record.history.rejections if event.kind == "budget"]
    assert reasons and all(f"ms > {bound:g} (onnx in fp32 on made" in reason for reason in reasons)
    (words,) = lists_in_words(record.history.header)
    assert words == f"{prices.describe()}, another device than this ({Place().name()})"


def test_a_list_must_cover_the_space(prices: PriceList, tmp_path: Path) -> None:
    check_lists(Budget(latency_ms=100, prices=prices.source), SPACE)
    fewer = replace(prices, entries=prices.entries[:-1])
    fewer.write(tmp_path / "fewer.json")
    for file, named in (("fewer.json", "it was measured for another space"), ("none.json", "cannot be read")):
        with pytest.raises(InputError, match=f"budget.prices: .*{named}"):
            check_lists(Budget(latency_ms=100, prices=str(tmp_path / file)), SPACE)


def test_a_run_goes_on_with_the_same_lists(prices: PriceList, tmp_path: Path) -> None:
    budget = Budget(latency_ms=100, prices=prices.source)
    header = recorded_lists(budget)
    moved = tmp_path / "moved.json"
    prices.write(moved)
    check_same_lists(header, Budget(latency_ms=100, prices=str(moved)))
    check_same_lists({}, Budget(100))
    replace(prices, factor=2.0).write(moved)
    with pytest.raises(InputError, match=r"resume: budget\.prices differ"):
        check_same_lists(header, Budget(latency_ms=100, prices=str(moved)))


def test_lists_are_found_from_any_folder(
    prices: PriceList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker samples within the bound, in a folder of its own; a resumed search stands anywhere."""
    bound = 2 * prices.milliseconds(SPACE.smallest(prices.milliseconds))
    words = [f"budget.latency_ms={bound}", "budget.prices=list.json"]
    told = ["rungs=[1]", "start={fid: 3, clip: 0.1}", "stopping=none"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    budget = settings_of(words)[0].budget
    assert budget.files == serve_settings([*words, *told])[0].budget.files == (str(tmp_path / "list.json"),)
    two = settings_of([words[0], "budget.prices=[list.json,elsewhere/other.json]"])[0].budget
    assert two.files == (str(tmp_path / "list.json"), str(tmp_path / "elsewhere" / "other.json"))
    sent = pickle.dumps(SpacePaths(SPACE, budget))
    monkeypatch.chdir(tmp_path / "elsewhere")
    sampled = [pickle.loads(sent).at(seed, 1) for seed in range(5)]
    assert all(prices.milliseconds(a) <= bound for a in sampled)


def test_a_shared_training_goes_on_wherever_its_list_lies(prices: PriceList, tmp_path: Path) -> None:
    def identity(file: Path) -> object:
        return SpacePaths(SPACE, Budget(latency_ms=100, prices=str(file))).identity(Proxy())

    prices.write(tmp_path / "moved.json")
    replace(prices, factor=2.0).write(tmp_path / "other.json")
    assert identity(tmp_path / "moved.json") == identity(Path(prices.source))
    assert identity(tmp_path / "other.json") != identity(Path(prices.source))


def test_another_device_or_version_is_said(
    prices: PriceList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def notes(**fields: object) -> list[str]:
        file = tmp_path / "other.json"
        replace(prices, **fields).write(file)  # type: ignore[arg-type]
        return latency_notes(Budget(latency_ms=100, prices=str(file)))

    here, versions = Place().name(), versions_of("onnx")
    assert notes(device=here, versions=versions) == []
    (device,) = notes(device="Pixel 9", versions=versions)
    assert "other.json is of Pixel 9, another device than this" in device and here in device
    (version,) = notes(device=here, versions=versions | {"onnxruntime": "1.0"})
    assert f"measured with onnxruntime 1.0 (here {versions['onnxruntime']})" in version
    assert latency_notes(Budget(100)) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # a list of this machine's GPU
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert notes(device="H200", versions=versions) == []


def test_no_list_no_score() -> None:
    assert latency_score(Budget(100), SPACE.first) == {} == recorded_lists(Budget(100))


def test_the_report_says_of_which_version_a_list_is(prices: PriceList, tmp_path: Path) -> None:
    here = {"device": Place().name(), "versions": versions_of("onnx")}
    same = replace(prices, **here)  # type: ignore[arg-type]
    same.write(tmp_path / "same.json")
    replace(same, versions={"onnxruntime": "1.0"}).write(tmp_path / "old.json")
    files = (str(tmp_path / "same.json"), str(tmp_path / "old.json"))
    first, second = lists_in_words(recorded_lists(Budget(latency_ms=100, prices=files)))
    assert first == same.describe()
    assert second.startswith(f"{same.describe()}, measured with onnxruntime 1.0 (here ")
    assert lists_in_words({"price_lists": [{"list": "of an earlier record"}]}) == ["of an earlier record"]


@pytest.mark.parametrize("group", ["references", "enqueue"])
def test_a_network_that_no_list_holds_is_refused_before_the_search(
    group: str, prices: PriceList, tmp_path: Path
) -> None:
    """It would be trained, and end the search when its latency is asked for."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(replace(SPACE.architecture(WIDEST), activation="gelu").to_yaml())
    settings = settings_in(tmp_path, budget=Budget(prices=prices.source))
    check_choosing(settings, {group: []})
    with pytest.raises(InputError, match=rf"^{group}: .*outside\.yaml: 'feed-forward'.*activation=gelu"):
        check_choosing(settings, {group: [str(outside)]})


def test_a_told_search_goes_on_with_the_same_lists(prices: PriceList, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, budget=replace(BUDGET, prices=prices.source))
    with AskTell(settings) as told:
        assert told.ask() is not None
    resumed = replace(settings, resume=str(told.folder))
    with AskTell(resumed) as again:
        assert again.ask() is not None
    replace(prices, factor=2.0).write(prices.source)
    with pytest.raises(InputError, match=r"^resume: budget\.prices differ"):
        AskTell(resumed)

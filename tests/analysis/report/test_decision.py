"""What a reader decides by: quality against cost, networks told apart, images beside real ones, what next."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.report import write_report
from analysis.report.page import Page
from analysis.report.sections.images import prompts_of, sample_sheets
from analysis.report.sections.next import next_section
from analysis.report.sections.verdicts import verdict_section
from conf.compose import compose
from conf.words import divided
from search.preparation import keep_prompts
from search.runs.record import Record, read_history
from space.prices.macs import price
from tests.analysis.report.pages import Tree, body_of, words_of
from tests.search.histories import MD, MD_LITE, confirm, end, open_run, propose, score
from training.data.dataset import Dataset, SplitImages
from training.data.digits import DigitsSettings
from training.data.emoji import Design, EmojiImages, EmojiSettings
from training.data.factory import load_data
from training.data.folder import FolderSettings
from training.data.scenes import ScenesSettings

NOISE = {"rungs": [{"step": 400, "fid_relative": 0.08, "clip": 0.02}]}
HERE, UNKNOWN = NOISE | {"measured_under": []}, NOISE | {"measured_under": None}
LOUD = {"rungs": [{"step": 400, "fid_relative": 1.0, "clip": 0.5}], "measured_under": []}
pytestmark = pytest.mark.usefixtures("quick")


def raced(folder: Path, **changes: object) -> Record:
    """Three trials, of which two race with the same seeds beside MD."""
    record = open_run(folder, trials=3, **changes)
    for architecture, fid, clip in ((MD, 20.0, 0.6), (MD_LITE, 10.0, 0.5), (MD_LITE, 30.0, 0.4)):
        key = propose(record, architecture)
        for step in (100, 400):
            score(record, key, step, fid, clip, "end" if step == 400 else "continue")
        end(record, key)
    confirm(record, "trial 1", MD_LITE, [(10.0, 0.5), (10.5, 0.51)])
    confirm(record, "trial 0", MD, [(19.0, 0.62), (21.0, 0.6)])
    confirm(record, "md", MD, [(22.0, 0.4)])
    record.close()
    return record


def test_the_front_of_quality_and_cost_and_the_budget(tmp_path: Path) -> None:
    raced(tmp_path)
    charts = body_of(tmp_path).charts
    by_gmacs = {trace["name"]: trace for trace in charts["cost-clip-gmacs"]["data"]}
    cheap, dear = price(MD_LITE).gmacs, price(MD).gmacs
    assert by_gmacs["front"]["x"] == [cheap, dear, dear] and by_gmacs["front"]["y"] == [0.5, 0.6, 0.6]
    assert by_gmacs["trial 0, 2 seeds"]["x"] == [dear]
    assert by_gmacs["MD, 1 seed"]["y"] == [0.4]
    assert charts["cost-clip-gmacs"]["layout"]["shapes"][0]["x0"] == 200.0
    fid = {trace["name"]: trace for trace in charts["cost-fid-parameters_millions"]["data"]}
    assert fid["front"]["y"] == [10.0, 10.0]  # the dearer one is worse
    assert fid["search"]["x"][0] == price(MD).parameters / 1e6
    assert "level 3: 1024 ch" in fid["search"]["text"][0]


def test_networks_that_raced_are_told_apart_by_colour_and_symbol_everywhere(tmp_path: Path) -> None:
    raced(tmp_path)
    charts = body_of(tmp_path).charts
    looks: dict[str, set[tuple[str, str]]] = {}
    for chart in ("confirmation", "cost-fid-gmacs", "curve-fid", "pareto"):
        for trace in charts[chart]["data"]:
            for name in ("trial 0", "trial 1", "MD"):
                if trace["name"].startswith(f"{name},"):
                    looks.setdefault(name, set()).add((trace["marker"]["color"], trace["marker"]["symbol"]))
    assert all(len(look) == 1 for look in looks.values())
    assert len({look for own in looks.values() for look in own}) == 3


def test_curves_say_the_choices_of_trials_and_of_references(tmp_path: Path) -> None:
    raced(tmp_path)
    traces = {trace["name"]: trace for trace in body_of(tmp_path).charts["curve-clip"]["data"]}
    reference = traces["MD, mean of 1 seed"]
    assert reference["x"] == [0, 400] and reference["y"] == [0.01, 0.4]
    assert "level 3: 1024 ch" in reference["text"][1]
    assert traces["trial 1, mean of 2 seeds"]["y"] == pytest.approx([0.01, 0.505])
    assert any("level 3: 896 ch" in text for text in traces["complete"]["text"])
    assert 'title="level 1: 320 ch' in body_of(tmp_path).html  # in the table of trials too


def test_every_entry_of_the_contents_is_a_place_of_the_page(tmp_path: Path) -> None:
    raced(tmp_path)
    tree = Tree(write_report(tmp_path).read_text(encoding="utf-8"))
    assert {"verdicts", "quality-against-cost", "images", "what-next"} <= set(tree.links)
    assert set(tree.links) <= set(tree.ids) and len(set(tree.ids)) == len(tree.ids)


# ---------------------------------------------------------------------- how sure


def test_how_one_seed_can_decide_is_said_in_figures(tmp_path: Path) -> None:
    raced(tmp_path, noise=HERE)
    found = verdict_section(Page(tmp_path, read_history(tmp_path)))
    assert found is not None and found["repeats"] == 6 and found["unknown"] == ""
    assert [seeds for seeds, _ in found["told_apart"]] == ["1 seed", "2 seeds"]
    assert all("a factor of" in far and "in CLIP" in far for _, far in found["told_apart"])


def test_unknown_noise_is_said_and_its_verdicts_stand_at_their_seeds(tmp_path: Path) -> None:
    raced(tmp_path, noise=UNKNOWN)
    assert "What is noise here nobody has measured" in words_of(tmp_path)
    found = Page(tmp_path, read_history(tmp_path)).verdicts
    assert {verdict.word for verdict in found} == {"undecided"}
    race = body_of(tmp_path).charts["race-fid"]["data"]
    assert {round(x) for trace in race for x in trace["x"]} == {2}  # after one seed nothing is known


# ---------------------------------------------------------------------- images


def test_real_images_and_captions_stand_beside_samples(tmp_path: Path) -> None:
    raced(tmp_path)
    evaluator = tmp_path / "evaluator"
    evaluator.mkdir()
    data = load_data(ScenesSettings(scenes=40, image_size_px=16))
    prompts = [data.held_out_captions[n % len(data.held_out_captions)] for n in range(32)]
    keep_prompts(evaluator, prompts, data)
    with Image.open(evaluator / "real.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape == (4 * 32, 8 * 32, 3)
    images, captions = data.held_out([9])
    shown = ((images[0] + 1) * 127.5).round().numpy().transpose(1, 2, 0)
    assert captions == [prompts[9]] and np.array_equal(
        pixels[32:64:2, 32:64:2], shown
    )  # second row and column

    history = read_history(tmp_path)
    assert sample_sheets(tmp_path, history, history.trials[1]) == []  # nothing to stand beside
    (tmp_path / "trials" / "1").mkdir(parents=True)
    Image.new("RGB", (256, 128), "navy").save(tmp_path / "trials" / "1" / "samples.png")
    sheets = sample_sheets(tmp_path, history, history.trials[1])
    assert [sheet.title for sheet in sheets] == ["Real", "The winner, trial 1"]
    assert prompts_of(tmp_path) == prompts and all(prompt in words_of(tmp_path) for prompt in prompts[:9])


@pytest.mark.parametrize(
    ("data", "named"), [({"name": "scenes"}, False), ({"name": "emoji"}, True), ({}, False)]
)
def test_whom_the_images_are_by_stands_beside_them(tmp_path: Path, data: dict[str, str], named: bool) -> None:
    raced(tmp_path, data=data)
    (tmp_path / "trials" / "1").mkdir(parents=True)
    Image.new("RGB", (256, 128), "navy").save(tmp_path / "trials" / "1" / "samples.png")
    assert ("OpenMoji" in words_of(tmp_path) and "CC BY-SA 4.0" in words_of(tmp_path)) == named


def of_data(name: str, folder: Path) -> Dataset:
    if name == "digits":
        return load_data(DigitsSettings(image_size_px=16))
    pixels = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.full((1, 16, 16, 3), 6, np.uint8)
    if name == "emoji":
        designs = [Design(f"{n:X}", f"first{n % 8} second{n // 8}", None) for n in range(40)]
        pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
        return SplitImages(EmojiSettings(image_size_px=16), EmojiImages(designs, pixels))
    for n, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{n}.png")
    rows = (json.dumps({"file": f"{n}.png", "caption": f"photograph {n}"}) for n in range(40))
    (folder / "captions.jsonl").write_text("\n".join(rows))
    return load_data(FolderSettings(folder=str(folder), image_size_px=16))


@pytest.mark.parametrize("name", ["digits", "folder", "emoji"])
def test_real_images_of_every_data_set_are_kept_with_their_captions(tmp_path: Path, name: str) -> None:
    data, evaluator = of_data(name, tmp_path), tmp_path / "evaluator"
    evaluator.mkdir()
    count = len(data.held_out_captions)
    prompts = [data.held_out_captions[n % count] for n in range(32)]
    keep_prompts(evaluator, prompts, data)
    assert prompts_of(tmp_path) == prompts
    with Image.open(evaluator / "real.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    images, _ = data.held_out([n % count for n in range(32)])
    expected = ((images + 1) * 127.5).round().numpy().astype(np.uint8).transpose(0, 2, 3, 1)
    for n in (0, 7, 8, 31):
        top, left = 32 * (n // 8), 32 * (n % 8)
        assert np.array_equal(pixels[top : top + 32 : 2, left : left + 32 : 2], expected[n])


def test_no_sentence_runs_into_the_next(tmp_path: Path) -> None:
    raced(tmp_path)
    assert re.findall(r"\S*[a-z]\.[A-Z]\S*", words_of(tmp_path)) == []


# ---------------------------------------------------------------------- what next


def commands_of(folder: Path, *, running: bool = False) -> dict[str, list[str]]:
    """By verb, the words that a shell gives to the command."""
    found = next_section(Page(folder, read_history(folder), running=running)) or {"commands": []}
    lines = [shlex.split(line) for _, line in found["commands"]]
    assert all(program == "mdsearch" for program, *_ in lines)
    return {verb: words for _, verb, *words in lines}


def test_what_next_are_commands_that_fit_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "a run [1]"
    raced(folder, noise=LOUD)
    (folder / "evaluator").mkdir()
    (folder / "evaluator" / "prompts.json").write_text(json.dumps(['it\'s a "circle"']))
    found = commands_of(folder)
    assert found.keys() == {"confirm", "generate", "train", "count"}
    sources, chosen = divided(found["confirm"])
    assert sources == [str(folder)] and compose("confirm", chosen)["minutes"] == 10
    generate = compose("generate", found["generate"])
    assert generate["prompt"] == 'it\'s a "circle"' and Path(generate["model"]).parent == folder / "trials"
    assert compose("count", found["count"])["arch_file"] == str(folder / "best.yaml")
    assert commands_of(folder, running=True) == {}

    unfinished = tmp_path / "unfinished"
    raced(unfinished)
    record = Record(unfinished)
    record.append("session", trials=9, backend="inline")
    record.close()
    assert compose("search", commands_of(unfinished)["search"])["resume"] == str(unfinished)


def test_where_noise_is_unknown_the_page_says_how_to_measure_and_keep_it(tmp_path: Path) -> None:
    raced(tmp_path, noise=UNKNOWN)
    found = commands_of(tmp_path)  # two repeats: too few
    assert "noise" not in found and compose("confirm", divided(found["confirm"])[1])["seeds"] == 4
    record = Record(tmp_path)
    confirm(record, "md_lite", MD_LITE, [(22.0 + n, 0.4) for n in range(5)])
    record.close()
    sources, chosen = divided(commands_of(tmp_path)["noise"])  # six: it can be written down
    assert sources == [str(tmp_path)] and compose("noise", chosen)["out"] == f"{tmp_path.name}-noise.yaml"

"""`mdsearch build` plans: which commands with which words, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from conf.compose import compose
from mdsearch import build_expected, build_plan
from mdsearch.__main__ import main
from mdsearch.build_plan import build_command
from space.shared.command_lines import typed_words
from space.shared.plain import InputError
from tests.mdsearch.small_build import SMALL, command, lines, planned
from tests.mdsearch.test_convert import settings, trained
from tests.mdsearch.test_export import MD_LIKE
from training import plan
from training.plan import WorkPlan


@pytest.fixture(autouse=True)
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stages do with their words is of no interest."""
    monkeypatch.setattr(build_plan, "check_words", lambda stage: None)


# ---------------------------------------------------------------------- the plan


@pytest.mark.parametrize("name", ["mobilediffusion_small", "pixels", "mobilediffusion"])
def test_the_words_of_every_stage_of_a_preset_are_those_of_its_command(name: str) -> None:
    asked = build_command([f"experiment={name}"])
    stages, notes = planned(asked)
    assert asked.name == name and {stage.name for stage in stages} >= {"search", "train", "distill"}
    assert len(stages) + len(notes) == len(asked.stages)
    if name != "mobilediffusion":
        assert sum(stage.minutes or 60 for stage in stages) <= 60  # all stated, and within the hour


@pytest.mark.usefixtures("unchecked")
def test_a_stage_reads_the_folders_of_others() -> None:
    found = lines("out=out/it")
    assert found["autoencoder"].endswith("reconstruction.steps=3 out=out/it/autoencoder")
    assert "training.latents.folder=out/it/decoder " in found["train"]
    assert "init_from=out/it/train " in found["distill"]
    assert typed_words(lines("out=a b")["distill"])[-1] == 'out="a b/distill"'


@pytest.mark.usefixtures("unchecked")
def test_what_is_left_out_is_said_and_another_takes_its_place() -> None:
    stages, notes = planned(command("stages.decoder=null"))
    assert [stage.name for stage in stages] == ["autoencoder", "train", "distill", "samples"]
    assert "training.latents.folder=built/small/autoencoder" in stages[1].words
    assert notes == ["decoder: left out"]
    stages, notes = planned(command("stages.train=null"))
    assert [stage.name for stage in stages] == ["autoencoder", "decoder"]
    assert notes[1:] == [
        "distill: left out, since it reads train",
        "samples: left out, since it reads distill",
    ]


@pytest.mark.usefixtures("unchecked")
def test_a_base_stands_in_the_place_of_training_and_all_before() -> None:
    stages, notes = planned(command("base=trained/md"))
    assert [stage.name for stage in stages] == ["distill", "samples"] and len(notes) == 3
    assert stages[0].words[0] == "init_from=trained/md"
    assert stages[0].reads == {"train": Path("trained/md")}


@pytest.mark.usefixtures("unchecked")
def test_own_words_replace_those_of_the_same_names() -> None:
    found = lines("words.train='training.steps=9 seed=2'", "words.distill=training.steps=1")
    assert "training.steps=9 seed=2" in found["train"] and "training.steps=5" not in found["train"]
    assert "training.steps=1" in found["distill"]
    assert "model=built/small/train " in lines("words.samples=model={train}")["samples"]
    replaced = lines("stages.samples='generate samples model={train} count=2'")
    assert "model=built/small/train count=2" in replaced["samples"]


@pytest.mark.usefixtures("unchecked")
def test_text_in_braces_that_is_no_stage() -> None:
    Path("small.yaml").write_text(SMALL.replace("count=4", "count=4 captions={out}/c-{{px}}.txt"))
    assert 'captions="built/small/c-{px}.txt"' in typed_words(lines()["samples"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["words.serch=seed=1"], "words.serch: no such stage; "),
        (["words.train=training.stepps=1"], "train: training.stepps: no such key; did you mean"),
        (["words.train=out=elsewhere"], "train: out=elsewhere: not in a stage"),
        (["stages.decodr=null"], "stages.decodr: no such key; did you mean 'stages.decoder'"),
        (["stages.samples='generate sampels model={train}'"], "samples: generate sampels: no such command"),
        (["stages.samples='generate samples model={trian}'"], "samples: {trian} is no stage; "),
        (["stages.autoencoder='train init_from={train}'"], "autoencoder: reads train, which comes later"),
        (["stages.train=null", "base=x", "format=json"], "format: 'json' is of a plan"),
        (["experiment=paper_md"], "system: given twice"),
    ],
)  # fmt: skip
def test_words_that_cannot_be_used_are_one_line(words: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        planned(command(*words))
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_system_is_not_searched_for_by_another_command() -> None:
    with pytest.raises(
        InputError, match=r"^experiment: 'mobilediffusion_small' is of another command; write"
    ):
        compose("search", ["experiment=mobilediffusion_small"])


def test_a_plan_says_what_is_stated_and_adds_it_up(capsys: pytest.CaptureFixture[str]) -> None:
    trained(MD_LIKE, settings(), Path("x"))
    words = ["build", "experiment=./small.yaml", "dry_run=true", "stages.autoencoder=null", "base=x"]
    assert main([*words, "format=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(stage["name"], stage["seconds"]) for stage in found["stages"]] == [
        ("distill", 30.0),
        ("samples", None),
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "mdsearch distill init_from=x out=built/small/distill\n" in text
    assert text.endswith("in all: 30.0 s, and 1 stage of which it is not known\n")


@pytest.mark.parametrize("more", [[], ["dry_run=true"]])
def test_a_base_that_is_not_there_is_refused_in_a_plan_too(more: list[str]) -> None:
    words = ["build", "experiment=./small.yaml", "stages.autoencoder=null", "base=nowhere", *more]
    with pytest.raises(InputError, match=r"^base: 'nowhere' holds no trained model"):
        main(words)


def test_a_plan_is_asked_without_what_stages_are_still_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's training without the file that the search will leave; nothing is said of such folders."""
    asked: list[str] = []

    def own_plan(words: list[str]) -> WorkPlan:
        asked.extend(words)
        figures = {"seconds": 60.0, "accelerators": 32, "accelerator_hours": 0.5}
        return WorkPlan([], figures, ["latents.folder: is not there", "text.folder: is not there"])

    monkeypatch.setitem(cast(Any, build_expected.PLANS), "train", own_plan)
    stages = {stage.name: stage for stage in planned(build_command(["experiment=mobilediffusion"]))[0]}
    train = build_expected.expected_stage(stages["train"])
    assert asked == ["recipe=paper_md", "out=built/mobilediffusion/train"]
    assert train.line() == "train: 1 min 0 s on 32 accelerators (0 accelerator-hours), by its own plan"
    assert train.not_there == ("text.folder: is not there",)
    assert "arch_file=built/mobilediffusion/search/best.yaml" in train.command
    assert 'data.folder="built/mobilediffusion/latents-{px}px"' in typed_words(train.command)
    assert build_expected.expected_stage(stages["distill"]).seconds is None


@pytest.mark.slow  # two plans at full width
def test_the_papers_search_and_training_are_planned_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "rehearse", lambda *given: None)
    stages = {stage.name: stage for stage in planned(build_command(["experiment=mobilediffusion"]))[0]}
    train, search = (build_expected.expected_stage(stages[name]) for name in ("train", "search"))
    assert train.accelerators == 32 and train.accelerator_hours == pytest.approx(5329, rel=1e-3)
    assert search.accelerators == 512 and search.accelerator_hours == pytest.approx(12979, rel=1e-3)
    assert [line.partition(":")[0] for line in train.not_there] == ["text.folder"]

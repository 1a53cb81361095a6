"""`mdsearch build`: which commands it runs with which words, what it passes over, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from analysis.system.record import read_build
from conf.compose import compose
from conf.folders import config_folders
from mdsearch import build_expected, build_plan
from mdsearch.__main__ import main
from mdsearch.build_plan import BuildCommand, build_command, planned_stages
from mdsearch.build_run import LEFT, in_a_process, left_by, run_stages
from space.shared.command_lines import typed_words
from space.shared.plain import InputError
from training import plan
from training.plan import WorkPlan

SMALL = """# @package _global_
name: small
stages:
  autoencoder: train autoencoder autoencoder=small reconstruction.steps=3
  decoder: train autoencoder autoencoder=tiny init_from={autoencoder} reconstruction.decoder_only=true
  train: train training.latents.codec=vae training.latents.folder={decoder|autoencoder} training.steps=5
  distill: distill init_from={train}
  samples: generate samples model={distill} count=4
minutes: {train: 2, distill: 0.5}
"""


@pytest.fixture(autouse=True)
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stages do with their words is of no interest."""
    monkeypatch.setattr(build_plan, "check_words", lambda stage: None)


def command(*words: str) -> BuildCommand:
    return build_command(["experiment=./small.yaml", *words])


def lines(*words: str) -> dict[str, str]:
    return {stage.name: stage.line() for stage in planned_stages(command(*words))[0]}


class Commands:
    """In the place of commands: they leave what these leave; from a stage on, before or behind that, they
    fail."""

    def __init__(self, fails_at: str = "", leaving: bool = False) -> None:
        self.ran: list[str] = []
        self._fails_at, self._leaving = fails_at, leaving

    def __call__(self, command: str, words: list[str], tell: Callable[[float], None]) -> int:
        out = Path(next(word for word in words if word.startswith("out=")).partition("=")[2])
        fails = out.name == self._fails_at
        self.ran.append(out.name)
        if not fails or self._leaving:
            out.mkdir(parents=True, exist_ok=True)
            (out / LEFT[command]).touch()
        tell(2.0)
        return 137 if fails else 0


def run(commands: Commands, *words: str) -> int:
    asked = command(*words)
    return run_stages(asked, planned_stages(asked)[0], commands)


# ---------------------------------------------------------------------- the plan


@pytest.mark.parametrize("name", ["mobilediffusion_small", "pixels", "mobilediffusion"])
def test_the_words_of_every_stage_of_a_preset_are_those_of_its_command(name: str) -> None:
    asked = build_command([f"experiment={name}"])
    stages, notes = planned_stages(asked)
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
    stages, notes = planned_stages(command("stages.decoder=null"))
    assert [stage.name for stage in stages] == ["autoencoder", "train", "distill", "samples"]
    assert "training.latents.folder=built/small/autoencoder" in stages[1].words
    assert notes == ["decoder: left out"]
    stages, notes = planned_stages(command("stages.train=null"))
    assert [stage.name for stage in stages] == ["autoencoder", "decoder"]
    assert notes[1:] == [
        "distill: left out, since it reads train",
        "samples: left out, since it reads distill",
    ]


@pytest.mark.usefixtures("unchecked")
def test_a_base_stands_in_the_place_of_training_and_all_before() -> None:
    stages, notes = planned_stages(command("base=trained/md"))
    assert [stage.name for stage in stages] == ["distill", "samples"] and len(notes) == 3
    assert stages[0].words[0] == "init_from=trained/md"
    assert stages[0].reads == {"train": Path("trained/md")}


@pytest.mark.usefixtures("unchecked")
def test_own_words_replace_those_of_the_same_names() -> None:
    found = lines("words.train='training.steps=9 seed=2'", "words.distill=training.steps=1")
    assert "training.steps=9 seed=2" in found["train"] and "training.steps=5" not in found["train"]
    assert "training.steps=1" in found["distill"]
    replaced = lines("stages.samples='generate samples model={train} count=2'")
    assert "model=built/small/train count=2" in replaced["samples"]


@pytest.mark.usefixtures("unchecked")
def test_text_in_braces_that_is_no_stage() -> None:
    Path("small.yaml").write_text(SMALL.replace("count=4", "count=4 captions={out}/c-{{px}}.txt"))
    assert 'captions="built/small/c-{px}.txt"' in typed_words(lines()["samples"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["words.serch=seed=1"], "serch: no such stage; "),
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
        planned_stages(command(*words))
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_system_is_not_searched_for_by_another_command() -> None:
    with pytest.raises(
        InputError, match=r"^experiment: 'mobilediffusion_small' is of another command; write"
    ):
        compose("search", ["experiment=mobilediffusion_small"])


def test_a_plan_says_what_is_stated_and_adds_it_up(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_plan_is_asked_without_what_stages_are_still_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's training without the file that the search will leave; nothing is said of such folders."""
    asked: list[str] = []

    def planned(words: list[str]) -> WorkPlan:
        asked.extend(words)
        figures = {"seconds": 60.0, "accelerators": 32, "accelerator_hours": 0.5}
        return WorkPlan([], figures, ["latents.folder: is not there", "text.folder: is not there"])

    monkeypatch.setitem(cast(Any, build_expected.PLANS), "train", planned)
    stages = {stage.name: stage for stage in planned_stages(build_command(["experiment=mobilediffusion"]))[0]}
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
    stages = {stage.name: stage for stage in planned_stages(build_command(["experiment=mobilediffusion"]))[0]}
    train, search = (build_expected.expected_stage(stages[name]) for name in ("train", "search"))
    assert train.accelerators == 32 and train.accelerator_hours == pytest.approx(5329, rel=1e-3)
    assert search.accelerators == 512 and search.accelerator_hours == pytest.approx(12979, rel=1e-3)
    assert [line.partition(":")[0] for line in train.not_there] == ["text.folder"]


# ---------------------------------------------------------------------- running it


@pytest.mark.usefixtures("unchecked")
def test_finished_stages_are_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Commands(), Commands()
    assert run(first) == run(second) == 0
    assert first.ran == ["autoencoder", "decoder", "train", "distill", "samples"] and second.ran == []
    record = read_build(Path("built/small"))
    assert record is not None and all(stage.finished for stage in record.stages.values())
    assert [stage.seconds for stage in record.stages.values()] == [2.0] * 5
    assert "=== 3 of 5, train, about 2 min\nmdsearch train " in capsys.readouterr().out


@pytest.mark.parametrize("leaving", [False, True])
@pytest.mark.usefixtures("unchecked")
def test_it_goes_on_where_it_was_killed(leaving: bool) -> None:
    """Before the stage left anything, and after it had begun to."""
    first, second = Commands("train", leaving), Commands()
    assert run(first) == 137 and run(second) == 0
    assert first.ran == ["autoencoder", "decoder", "train"]
    assert second.ran == ["train", "distill", "samples"]
    record = read_build(Path("built/small"))
    assert record is not None and record.stages["distill"].reads == {"train": record.stages["train"].making}
    assert (record.stages["train"].sessions, record.stages["train"].seconds) == (
        (2, 4.0) if leaving else (1, 2.0)
    )


@pytest.mark.usefixtures("unchecked")
def test_other_words_of_what_is_there_are_refused() -> None:
    run(Commands())
    with pytest.raises(InputError) as caught:
        run(Commands(), "words.train=training.steps=9")
    assert str(caught.value) == (
        "train: training.steps=9, but built/small/train is of training.steps=5; needed: another out=, or "
        "built/small/train deleted, with what reads it"
    )
    _remove("train")
    with pytest.raises(InputError, match=r"^distill: built/small/distill was made of another train; needed"):
        run(Commands(), "words.train=training.steps=9")
    _remove("distill")
    _remove("samples")
    anew = Commands()
    assert run(anew, "words.train=training.steps=9") == 0
    assert anew.ran == ["train", "distill", "samples"]


@pytest.mark.usefixtures("unchecked")
def test_another_base_is_another_system() -> None:
    assert run(Commands(), "base=one") == 0
    with pytest.raises(
        InputError, match=r"^distill: init_from=two, but built/small/distill is of init_from=one"
    ):
        run(Commands(), "base=two")


@pytest.mark.usefixtures("unchecked")
def test_a_command_that_left_nothing_has_not_ended_well() -> None:
    asked = command()
    stages = planned_stages(asked)[0]
    with pytest.raises(
        InputError, match=r"^autoencoder: ended without built/small/autoencoder/autoencoder\.json"
    ):
        run_stages(asked, stages, lambda command, words, tell: 0)
    assert left_by(stages[-1]) == Path("built/small/samples/manifest.json")


@pytest.mark.usefixtures("unchecked")
def test_a_search_that_was_begun_is_gone_on_with() -> None:
    Path("small.yaml").write_text(
        SMALL.replace("train autoencoder autoencoder=small", "search").replace(
            "reconstruction.steps=3", "trials=2"
        )
    )
    asked = command("stages.decoder=null")
    stage = planned_stages(asked)[0][0]
    assert stage.line() == "mdsearch search trials=2 runs_folder=built/small name=autoencoder"
    stage.leaves.mkdir(parents=True)
    (stage.leaves / "record.jsonl").write_text("")
    assert "resume" not in stage.line()  # killed before anything was recorded
    (stage.leaves / "record.jsonl").write_text('{"event": "run"}\n')
    assert stage.line() == "mdsearch search resume=built/small/autoencoder"


def test_presets_of_the_users_own_are_found_by_the_stages_too() -> None:
    Path("mine/autoencoder").mkdir(parents=True)
    Path("mine/autoencoder/hers.yaml").write_text("defaults: [tiny, _self_]\n")
    with config_folders(["mine"]):
        assert lines("words.autoencoder=autoencoder=hers")["autoencoder"].endswith("--config-dir mine")


# ---------------------------------------------------------------------- processes


def _program(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = Path("program").resolve()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.parametrize(("ending", "status"), [("exit 2", 2), ("exit 0", 0), ("kill -9 $$", 137)])
def test_the_status_of_a_stage_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, ending: str, status: int
) -> None:
    told: list[float] = []
    _program(monkeypatch, f'echo "$@" > words; {ending}')
    assert in_a_process("generate samples", ["count=2"], told.append) == status
    assert Path("words").read_text() == "-m mdsearch generate samples count=2\n"
    assert told and min(told) >= 0


def test_sigterm_reaches_the_stage_and_its_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _program(
        monkeypatch, "trap 'echo stopped > ended; exit 130' TERM\ntouch ready\nwhile :; do sleep 0.05; done"
    )

    def ask() -> None:
        while not Path("ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    asking = threading.Thread(target=ask)
    asking.start()
    assert in_a_process("train", [], lambda seconds: None) == 130
    asking.join()
    assert Path("ended").read_text() == "stopped\n"
    assert signal.getsignal(signal.SIGTERM) == before


def _remove(stage: str) -> None:
    folder = Path("built/small") / stage
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()

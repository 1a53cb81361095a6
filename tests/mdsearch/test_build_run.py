"""`mdsearch build` runs: what is finished is passed over, and what is of other words is refused."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.system.record import read_build
from conf.folders import config_folders
from mdsearch import build_plan
from mdsearch.build_run import LEFT, in_a_process, left_by, run_build
from space.shared.plain import InputError
from tests.mdsearch.small_build import SMALL, command, lines, planned


@pytest.fixture(autouse=True)
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stages do with their words is of no interest."""
    monkeypatch.setattr(build_plan, "check_words", lambda stage: None)


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
    return run_build(asked, planned(asked)[0], commands)


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
    stages = planned(asked)[0]
    with pytest.raises(
        InputError, match=r"^autoencoder: ended without built/small/autoencoder/autoencoder\.json"
    ):
        run_build(asked, stages, lambda command, words, tell: 0)
    assert left_by(stages[-1]) == Path("built/small/samples/manifest.json")


@pytest.mark.usefixtures("unchecked")
def test_a_search_that_was_begun_is_gone_on_with() -> None:
    Path("small.yaml").write_text(
        SMALL.replace("train autoencoder autoencoder=small", "search").replace(
            "reconstruction.steps=3", "trials=2"
        )
    )
    asked = command("stages.decoder=null")
    stage = planned(asked)[0][0]
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

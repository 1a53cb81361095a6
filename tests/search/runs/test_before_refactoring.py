"""A run folder of before the refactoring goes on: `before_refactoring` was written by the code of then, on a
space of its own, and its driver killed in trial 1 after the first rung. `undisturbed.jsonl` is the record of
the same search, not killed."""

import json
import lzma
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from search.run import execute
from search.runs.folder import stored_overrides, stored_settings
from search.runs.record import read_history

BEFORE = Path(__file__).parent / "before_refactoring"


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """The run folder and what was said while it was resumed."""
    folder = tmp_path_factory.mktemp("runs") / "interrupted"
    shutil.copytree(BEFORE, folder)
    state = folder / "trials" / "1" / "state.pt.xz"
    state.with_suffix("").write_bytes(lzma.decompress(state.read_bytes()))
    state.unlink()
    settings = replace(stored_settings(folder), resume=str(folder), cache_folder=str(folder.parent / "cache"))
    with redirect_stdout(StringIO()) as said:
        assert not execute(settings, stored_overrides(folder)).interrupted
    (folder / "said.txt").write_text(said.getvalue())
    return folder


def decided(record):
    """What was decided, in order, and the scores beside it."""
    events = [json.loads(line) for line in record.read_text().splitlines()]
    return [
        {
            name: value
            for name, value in event.items()
            if name not in ("time", "seconds", "deviations", "scores")
        }
        for event in events
        if event["event"] in ("proposed", "rejected", "rung", "ended")
    ]


def test_it_ends_as_the_search_that_nothing_disturbed(resumed):
    assert decided(resumed / "record.jsonl") == decided(BEFORE / "undisturbed.jsonl")


def test_scores_are_those_of_then(resumed):
    then = [json.loads(line) for line in (BEFORE / "undisturbed.jsonl").read_text().splitlines()]
    scores = {(event["key"], event["step"]): event["scores"] for event in then if event["event"] == "rung"}
    for trial in read_history(resumed).trials:
        for rung in trial.rungs:
            assert rung.scores == pytest.approx(scores[trial.key, rung.step], rel=1e-4, abs=1e-4)


def test_finished_work_stays_as_it_is(resumed):
    for file in sorted((BEFORE / "trials" / "0").iterdir()):
        if file.name != "curve.jsonl":  # made from the record, like report and table
            assert (resumed / "trials" / "0" / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_running_trial_is_trained_again_from_step_0_which_is_said(resumed):
    trial = read_history(resumed).trials[1]
    assert trial.state == "halted" and trial.last_step == 2
    work = [json.loads(line) for line in (resumed / "trials" / "1" / "work.jsonl").read_text().splitlines()]
    assert [(line["from_step"], line["to_step"]) for line in work] == [(0, 2), (0, 2)]
    assert "trial 1: trains again from step 0" in (resumed / "said.txt").read_text()
    assert not (resumed / "trials" / "1" / "state.pt").exists()

"""`mdsearch evaluate` in a folder that holds something: killed and gone on with, added to, or left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdsearch.commands import evaluate
from tests.evaluators.command import refusal, sheet_of, with_

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 1500  # on a machine under any load; quick where nothing is wrong


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
def test_a_killed_run_goes_on_and_ends_as_an_undisturbed_one(
    words: list[str], sets: Path, tmp_path: Path
) -> None:
    """SIGKILL of a real process between two parts, then the same command."""
    words = with_(words, "metrics=fid,kid", "part_images=1")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mdsearch", "evaluate", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    parts = tmp_path / "out" / "parts"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(parts.glob("*.json"))) < 5:
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.json")}
    assert 5 <= len(finished) < 60 and not (tmp_path / "out" / "scores.json").exists()

    resumed = sheet_of(words)
    assert {name: (parts / name).stat().st_mtime_ns for name in finished} == finished
    assert resumed.about["pace"]["images"] == 60 - len(finished)
    undisturbed = sheet_of(with_(words, f"out={tmp_path / 'undisturbed'}"))
    for name, score in undisturbed.scores.items():
        assert resumed.scores[name].value == pytest.approx(score.value, rel=1e-8, abs=1e-12)
        assert resumed.scores[name].protocol.id == score.protocol.id


def test_a_metric_that_is_added_measures_nothing_again(words: list[str], tmp_path: Path) -> None:
    first = sheet_of(words)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()}
    second = sheet_of(with_(words, "metrics=kid,precision,recall"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()} == before
    assert list(second.scores) == [
        f"{metric}_random_conv" for metric in ("fid", "kid", "precision", "recall")
    ]
    assert second.scores["fid_random_conv"] == first.scores["fid_random_conv"]
    assert second.about["pace"] == first.about["pace"]


def test_a_folder_of_other_scores_is_left_alone(words: list[str], sets: Path, tmp_path: Path) -> None:
    sheet_of(words)
    before = (tmp_path / "out" / "scores.json").read_bytes()
    assert "belongs to scores with other images" in refusal(with_(words, f"images={sets / 'dark'}"))
    assert "belongs to scores with other form" in refusal([*words, "evaluators.images.crop=center"])
    assert (tmp_path / "out" / "scores.json").read_bytes() == before


def test_without_out_the_same_command_finds_its_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    anywhere = [word for word in words if not word.startswith("out=")]
    for _ in range(2):
        assert evaluate.main(anywhere) == 0
    assert len(list((tmp_path / "scores").iterdir())) == 1
    assert evaluate.main([*anywhere, "evaluators.images.crop=center"]) == 0
    assert len(list((tmp_path / "scores").iterdir())) == 2

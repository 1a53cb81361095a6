"""`mdsearch evaluate check=true`: scores beside clean-fid's and torchmetrics'; status 1 for a difference."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluators.measuring import second_opinions
from evaluators.metrics import peers
from evaluators.scorers.embedded import Evaluator
from mdsearch.commands import run_command
from mdsearch.commands.evaluate import main
from space.shared.plain import InputError

SIZE = 16


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def write_images(folder: Path, count: int, seed: int) -> None:
    folder.mkdir()
    for index, image in enumerate(np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3))):
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{index}.png")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    write_images(folder / "samples", 30, 1)
    write_images(folder / "real", 40, 2)
    return folder


@pytest.fixture
def words(sets: Path, tmp_path: Path) -> list[str]:
    """By a random network of twelve features, which needs no weights."""
    return [
        f"images={sets / 'samples'}",
        f"reference={sets / 'real'}",
        "metrics=fid",
        "check=true",
        f"out={tmp_path / 'out'}",
        f"cache_folder={tmp_path / 'cache'}",
        f"evaluators.images.size_px={SIZE}",
        "evaluators.features=[{network:random-conv,settings:{channels:[4,8]}}]",
    ]


@pytest.fixture
def prepared_words(prepared: tuple[Evaluator, Path], held_out: Any, tmp_path: Path) -> list[str]:
    """By the CLIP that a search trained."""
    (tmp_path / "squares").mkdir()
    for index, image in enumerate(held_out.images[:70]):
        Image.fromarray(image).save(tmp_path / "squares" / f"{index}.png")
    (tmp_path / "captions.txt").write_text("\n".join(held_out.captions[:70]))
    return [
        f"images={tmp_path / 'squares'}",
        f"captions={tmp_path / 'captions.txt'}",
        f"evaluator={prepared[1]}",
        f"out={tmp_path / 'out'}",
    ]


def test_features_are_compared(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "they agree" in capsys.readouterr().out
    stored = json.loads((tmp_path / "out" / "scores.json").read_text())
    opinions = stored["about"]["second_opinions"]
    assert [(found["what"], found["by"], found["agrees"]) for found in opinions] == [
        ("fid_random_conv", "clean-fid", True),
        ("fid_random_conv", "torchmetrics", True),
        ("kid_random_conv, one subset of 30", "clean-fid", True),
        ("kid_random_conv, one subset of 30", "torchmetrics", True),
    ]
    assert opinions[0]["ours"] == stored["scores"]["fid_random_conv"]["value"]


def test_json_holds_scores_and_opinions(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "format=json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["scores"]) == {"fid_random_conv"}
    assert len(printed["about"]["second_opinions"]) == 4
    unchecked = [word for word in words if word != "check=true"]
    assert main([*unchecked, "format=json"]) == 0
    assert "second_opinions" not in json.loads(capsys.readouterr().out)["about"]


def test_a_planted_disagreement_ends_with_status_1(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = peers.torchmetrics_frechet
    monkeypatch.setitem(
        second_opinions.FRECHET, "torchmetrics", lambda samples, real: 1.001 * honest(samples, real)
    )
    assert main([*words, "format=json"]) == 1
    opinions = json.loads(capsys.readouterr().out)["about"]["second_opinions"]
    assert [(found["what"], found["by"]) for found in opinions if not found["agrees"]] == [
        ("fid_random_conv", "torchmetrics")
    ]
    assert main(words) == 1
    assert "disagree: torchmetrics about fid_random_conv" in capsys.readouterr().out


def test_a_clip_score_is_compared(prepared_words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*prepared_words, "metrics=clip", "check=true", "format=json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (opinion,) = printed["about"]["second_opinions"]
    assert (opinion["what"], opinion["by"], opinion["agrees"]) == ("clip_embedded", "torchmetrics", True)
    assert opinion["ours"] == printed["scores"]["clip_embedded"]["value"]
    assert opinion["theirs"] == pytest.approx(opinion["ours"], abs=1e-6) and opinion["note"] == ""


def test_a_clip_score_that_is_wrong_is_contradicted(
    prepared_words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Captions are moved by one place on their way to torchmetrics."""
    honest = peers.TorchmetricsClipScore.add

    def moved(self: Any, images: np.ndarray, texts: np.ndarray) -> None:
        honest(self, images, np.roll(texts, 1, axis=0))

    monkeypatch.setattr(peers.TorchmetricsClipScore, "add", moved)
    assert main([*prepared_words, "metrics=clip", "check=true", "format=json"]) == 1
    (opinion,) = json.loads(capsys.readouterr().out)["about"]["second_opinions"]
    assert opinion["difference"] < -0.01


def test_statistics_have_no_second_opinion(words: list[str]) -> None:
    with pytest.raises(InputError, match="check: has no effect beside statistics="):
        main(["statistics=a.safetensors", "reference=real", "check=true"])


def test_the_command_waits_for_no_peer() -> None:
    code = (
        "import sys, mdsearch.commands.evaluate, mdsearch.commands.count;"
        "sys.exit(any(name in sys.modules for name in ('cleanfid', 'torchmetrics', 'fvcore')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("evaluate", ["--help"]) == 0
    assert "check=true" in capsys.readouterr().out

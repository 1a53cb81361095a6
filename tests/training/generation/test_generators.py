"""Settings that a model cannot follow are refused before anything is loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mdsearch.commands import generate
from space.shared.plain import InputError
from tests.training.examples import changed_json
from tests.training.generation.examples import OURS
from training.generation.generators import open_generator
from training.generation.samples import generate_samples

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, "count: 0 is not possible"),
        ({"guidance": 0.5}, "guidance: 0.5 is not possible; allowed: 1 or more"),
        ({"guidance": float("nan")}, "guidance: nan"),
        ({"seed": -1}, "seed: -1"),
        ({"image_size_px": 24}, "image_size_px: 24, but this model generates 16 px"),
        ({"sampler": "euler"}, "scheduler: 'euler' is not possible; allowed: ddim"),
        ({"steps": 1001}, "steps: 1001 is not possible; allowed: at most 1000"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], said: str, model: Path) -> None:
    with pytest.raises(InputError, match=said):
        open_generator(model, replace(OURS, **change), CPU)


def test_words_that_a_model_has_not_learned_are_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whatever generates from captions: one prompt, or a file of them."""
    generate.main([f"model={model}", "prompt=a red zebra", f"out={tmp_path / 'one.png'}", "steps=1"])
    assert capsys.readouterr().err.strip().endswith("does not tell them apart: zebra")
    few = replace(OURS, count=1, steps=1)
    generate_samples(model, ["a red giraffe"], few, tmp_path / "samples", device="cpu")
    assert capsys.readouterr().err.strip().endswith("does not tell them apart: giraffe")


def test_guidance_of_a_network_that_has_learnt_none_is_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distilled = tmp_path / "distilled"
    shutil.copytree(model, distilled)
    own = json.loads((model / "model.json").read_text())["settings"]
    changed_json(distilled / "model.json", settings=own | {"one_step": True, "guidance": 1.0})
    words = ["prompt=a red circle", f"out={tmp_path / 'one.png'}", "steps=1"]
    for folder, guidance, is_said in ((distilled, "5", True), (distilled, "1", False), (model, "5", False)):
        generate.main([f"model={folder}", *words, f"guidance={guidance}"])
        assert ("note: guidance: 5 of a network that was distilled" in capsys.readouterr().err) == is_said

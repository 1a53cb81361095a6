"""`mdsearch generate samples`: what is not said is taken from the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from mdsearch.commands import generate_samples as samples
from space.shared.captions import read_captions
from space.shared.plain import InputError
from tests.training.generation.examples import prompts_file
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.generation.sample_folder import read_manifest


def test_the_command_takes_what_it_is_not_told_from_our_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out, {0}"  # a path is text as it stands
    words = [f"model={model}", f"captions={prompts_file(tmp_path)}", f"out={out}", "device=cpu"]
    assert samples.main([*words, "batch_size=1", "count=1"]) == 0
    made = read_manifest(out)["settings"]
    assert (made["count"], made["image_size_px"], made["steps"], made["guidance"]) == (1, 16, 4, 1.0)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "0 of 1 images" and told[1].startswith("1 of 1 images, ")
    assert told[1].endswith(" a second") and told[2] == f"samples: {out}"
    with pytest.raises(InputError, match=r"count: 3, but .* holds 2 captions"):
        samples.main([*words, "count=3"])
    with pytest.raises(InputError, match=r"workers: 0 is not possible"):
        samples.main([*words, "batch_size=1", "count=1", "workers=0"])
    with pytest.raises(InputError, match=r"model: .* has no model\.json .* and no model_index\.json"):
        samples.main([f"model={tmp_path}", *words[1:], "image_size_px=16", "steps=1", "guidance=1"])


def test_without_a_file_captions_are_the_held_out_ones_of_what_a_model_was_trained_on(
    model: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(model, own)
    words = [f"model={own}", f"out={tmp_path / 'out'}", "device=cpu", "count=3", "steps=1"]
    with pytest.raises(InputError, match=r"^captions: missing, and '.*' says nothing of its data; needed"):
        samples.main(words)
    data = {"name": "scenes", "image_size_px": 16, "scenes": 40}
    (own / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    assert samples.main(words) == 0
    held_out = load_data(ScenesSettings(image_size_px=16, scenes=40)).held_out_captions
    assert read_captions(tmp_path / "out" / "captions.jsonl").texts == held_out[:3]

"""What a training ends with: a pipeline that anybody loads, and a card that says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers.utils import dynamic_modules_utils
from PIL import Image

from mdsearch.commands import generate
from space.architecture import Architecture
from tests.space.interchange.layouts import shaken
from training.card_parts import CardSettings
from training.data.dataset import Dataset
from training.data.emoji import EmojiSettings
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.files import CARD_NAME, PIPELINE_FOLDER
from training.handing_over import hand_over
from training.model_card import Card, card_of, card_text
from training.run import ModelScores
from training.settings import TrainingSettings
from training.trainer import Trainer

SCORED = ModelScores({"validation_loss": 0.0123, "fid_embedded_clip": 50.0}, {"fid_embedded_clip": 2.0}, 200)
ALL_PARTS = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}


@pytest.fixture(scope="module")
def trainer(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> Trainer:
    trainer = Trainer(tiny, scenes, settings, seed=3)
    trainer.train_to(3)
    shaken(trainer.averaged)  # what has hardly learnt generates grey
    torch.nn.init.normal_(trainer.averaged.unet.conv_out.weight, std=0.3)  # type: ignore[arg-type]
    return trainer


@pytest.fixture(scope="module")
def folder(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "my model"
    trainer.save_weights(folder)
    Image.new("RGB", (4, 4)).save(folder / "samples.png")
    assert hand_over(folder, card(trainer)) == []
    return folder


def card(trainer: Trainer, **stated: str) -> Card:
    return card_of("md", trainer, ScenesSettings(), CardSettings(**stated), SCORED)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where diffusers copies the code of a folder to."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield


def test_the_lines_of_the_card_make_the_image_of_generate(
    folder: Path, tmp_path: Path, modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (folder / PIPELINE_FOLDER / CARD_NAME).read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    seed = re.search(r"generator=torch\.Generator\(\)\.manual_seed\(\d+\)", text)
    assert code is not None and seed is not None and len(code[1].splitlines()) == 3
    monkeypatch.chdir(folder / PIPELINE_FOLDER)
    own: dict[str, Any] = {}
    try:
        exec(code[1], own)  # as it stands
        exec(f"import torch\n{code[1].splitlines()[2].replace(').images', f', {seed[0]}).images')}", own)
        made = np.asarray(Image.open("image.png")).astype(int)
    finally:
        Path("image.png").unlink(missing_ok=True)
    command = re.search(r"prompt=\"(.*?)\"", text)
    assert command is not None
    words = [f"model={folder}", f"prompt={command[1]}", f"out={tmp_path / 'ours.png'}", "enlarge=1", "seed=0"]
    assert generate.main(words) == 0
    ours = np.asarray(Image.open(tmp_path / "ours.png")).astype(int)
    assert made.std() > 5 and (made == ours).mean() > 0.99 and np.abs(made - ours).max() <= 1
    assert {part.name for part in Path().iterdir() if part.is_dir()} == ALL_PARTS


def test_the_head_is_what_the_hub_reads(folder: Path, trainer: Trainer) -> None:
    from huggingface_hub import metadata_load

    assert metadata_load(folder / PIPELINE_FOLDER / CARD_NAME) == {
        "library_name": "diffusers",
        "license": "unknown",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "diffusion", "mdsearch", "mobilediffusion"],
    }
    heads = [head(card(trainer, licence=licence)) for licence in ("Apache-2.0", "Ours: ask")]
    assert heads[0]["license"] == "apache-2.0" and "license_name" not in heads[0]
    assert (heads[1]["license"], heads[1]["license_name"]) == ("other", "Ours: ask")


def head(card: Card) -> dict[str, Any]:
    plain: dict[str, Any] = yaml.safe_load(card_text(card, Path("x"), is_pipeline=False).split("---")[1])
    return plain


def test_the_card_says_what_is_known_and_what_is_not(trainer: Trainer) -> None:
    text = card_text(card(trainer), Path("out"), is_pipeline=True)
    assert "| 2 | 4 | 16 | separable | 1 | 1 0 | SA + CA |" in text
    assert f"{trainer.parameters:,} parameters" in text
    assert text.count("| not stated |") == 2 and "![" in text
    assert "720 images of scenes, 16 px" in text and "3 steps of 8 images" in text and "seed 3" in text
    assert "| validation_loss | 0.0123 | - |" in text
    assert "| fid_embedded_clip | 50 | 46.08 to 53.92 |" in text  # 1.96 deviations
    assert "200 images of one seed" in text and "bootstrap" in text
    stated = card_text(card(trainer, data_licence="CC0 | mine"), Path("out"), is_pipeline=False)
    assert r"| licence of the images | CC0 \| mine |" in stated and "mdsearch generate model=out" in stated


def test_a_data_set_that_asks_for_it_is_named(trainer: Trainer) -> None:
    emoji = card_of("md", trainer, EmojiSettings(), CardSettings(), ModelScores())
    told = card_text(emoji, Path("x"), is_pipeline=True)
    assert "| licence of the images | CC BY-SA 4.0 |" in told and "Images: All emojis designed by" in told
    assert "Not measured yet." in told


def test_what_keeps_it_from_being_a_pipeline_is_said_and_nothing_old_stays(
    tiny: Architecture, settings: TrainingSettings, trainer: Trainer, tmp_path: Path
) -> None:
    small = load_data(ScenesSettings(scenes=32, image_size_px=12))
    Trainer(replace(tiny, latent_size=6), small, settings, seed=0).save_weights(tmp_path)
    (tmp_path / PIPELINE_FOLDER).mkdir()  # of other weights
    (reason,) = hand_over(tmp_path, card(trainer))
    assert reason.startswith("image_size_px: 12; ")
    assert not (tmp_path / PIPELINE_FOLDER).exists() and (tmp_path / CARD_NAME).is_file()

"""A model: what it holds, saves and generates."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import wider
from training.data.dataset import Dataset
from training.latents import LatentSettings
from training.model import load_model
from training.settings import TrainingSettings
from training.text import TextSettings
from training.trainer import Trainer


def test_frozen_parts_are_neither_copied_nor_saved(
    tiny: Architecture,
    scenes: Dataset,
    settings: TrainingSettings,
    vae_folder: Path,
    clip_folder: Path,
    tmp_path: Path,
) -> None:
    frozen = replace(
        settings,
        latents=LatentSettings(codec="vae", folder=str(vae_folder)),
        text=TextSettings(encoder="clip", folder=str(clip_folder)),
    )
    trainer = Trainer(replace(tiny, latent_channels=4, context_length=10), scenes, frozen, seed=0)
    model, averaged = trainer.objective.model, trainer.averaged
    assert model.text is None and averaged.frozen is model.frozen
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"unet"}
    assert {name.partition(".")[0] for name in model.state_dict()} == {"unet"}
    assert sum(p.numel() for p in averaged.parameters()) == trainer.parameters
    trainer.train_to(2)
    state = trainer.state()
    for section in (["averaged"], ["parts", "model", "weights"], ["parts", "model", "optimizer"]):
        assert {name.partition(".")[0] for name in state.section(*section)} == {"unet"}
    trainer.save_weights(tmp_path / "model")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"model.json", "unet.safetensors"}
    again = load_model(tmp_path / "model", "cpu")
    captions = ["a red circle"]
    assert (again.generate(captions, seed=1) == trainer.generate(captions, seed=1)).all()


def test_a_copy_has_weights_of_its_own(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    model = Trainer(tiny, scenes, settings, seed=0).objective.model
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.unet.conv_in.weight.zero_()
    assert model.unet.conv_in.weight.abs().max() > 0
    assert other.text is not model.text and other.frozen is model.frozen


def test_images_do_not_depend_on_the_batch_size(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(5)
    captions = scenes.held_out_captions[:6]
    together, apart = (trainer.generate(captions, seed=2, batch_size=size) for size in (6, 4))
    assert together.shape == (6, 16, 16, 3) and together.dtype == np.uint8
    assert abs(together.astype(int) - apart).max() <= 1
    assert abs(together.astype(int) - trainer.generate(captions, seed=3)).max() > 4
    assert trainer.generate([], seed=0).shape == (0, 16, 16, 3)


def test_initial_noise_is_the_same_for_every_architecture(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """Untrained networks predict an empty image, but noise enters: it is the same."""
    one, other = (
        Trainer(a, scenes, settings, seed=s).objective.model for a, s in ((tiny, 0), (wider(tiny), 1))
    )
    assert torch.equal(one.initial_noise(5, range(3)), other.initial_noise(5, range(3)))
    assert torch.equal(one.initial_noise(5, range(3))[2], one.initial_noise(5, [2])[0])


def test_saved_weights_generate_the_same_images(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(5)
    trainer.save_weights(tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    captions = scenes.held_out_captions[:3]
    assert (model.generate(captions, seed=7) == trainer.generate(captions, seed=7)).all()
    assert {file.name for file in (tmp_path / "model").iterdir()} == {
        "model.json",
        "text.safetensors",
        "unet.safetensors",
    }


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "md").mkdir()
    (tmp_path / "md" / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"^model: .*/mdd' holds no trained model .*; did you mean 'md'\?"):
        load_model(tmp_path / "mdd")
    with pytest.raises(InputError, match=r"^init_from: .*/md' holds no trained model \(model.json\): "):
        load_model(tmp_path / "md", where="init_from")


def test_more_steps_than_timesteps_are_refused(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    model = Trainer(tiny, scenes, settings, seed=0).averaged
    for one_step in (False, True):
        model.settings = replace(model.settings, one_step=one_step)
        with pytest.raises(InputError, match=r"^steps: 1001 is not possible; allowed: at most 1000"):
            model.generate(["a red circle"], seed=0, steps=1001)


def test_parts_that_do_not_fit_are_said(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    with pytest.raises(InputError, match=r"latent_channels: .* 8, .* codec .* 12"):
        Trainer(replace(tiny, latent_channels=8), scenes, settings, seed=0)
    with pytest.raises(InputError, match=r"needed: data\.image_size_px=32"):
        Trainer(replace(tiny, latent_size=16), scenes, settings, seed=0)
    with pytest.raises(InputError, match=r"text.heads: 3 .* 16"):
        Trainer(tiny, scenes, replace(settings, text=TextSettings(heads=3)), seed=0)


@pytest.mark.parametrize("name", ["condition_channels", "pooled_width", "size_embeddings"])
def test_conditions_that_no_training_gives_are_said(
    name: str, tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    with pytest.raises(InputError, match=f"{name}: 5, .*allowed: 0"):
        Trainer(replace(tiny, **{name: 5}), scenes, settings, seed=0)

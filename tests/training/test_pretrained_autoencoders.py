"""Others' autoencoders: loaded whole, or refused in one line, and what they encode and decode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import training.latents
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.conftest import tiny_autoencoder
from tests.training.examples import changed_json, changed_weights
from training.data.base import InMemory
from training.data.dataset import SplitImages
from training.data.scenes import ScenesSettings
from training.latents import LatentSettings, make_codec
from training.settings import TrainingSettings
from training.trainer import Trainer

CPU = torch.device("cpu")


def codec_refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        make_codec(LatentSettings(codec="vae", folder=str(folder)), CPU)
    message = str(caught.value)
    assert message.startswith("latents.folder: ") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "AutoencoderTiny"}, "holds a AutoencoderTiny; allowed: AutoencoderKL"),
        ({"_class_name": "UNet2DConditionModel"}, "holds a UNet2DConditionModel"),
        ({"_class_name": None}, "allowed: AutoencoderKL"),
        ({"in_channels": 1}, "in_channels = 1; needed: 3"),
        ({"latent_channels": 8}, "does not load as AutoencoderKL"),
        ({"use_quant_conv": False}, "quant_conv"),
    ],
)
def test_another_autoencoder_than_its_configuration_says_is_refused(
    vae_folder: Path, changes: dict[str, Any], said: str
) -> None:
    changed_json(vae_folder / "config.json", **changes)
    assert said in codec_refused(vae_folder)


def test_an_autoencoder_without_a_weight_is_refused(vae_folder: Path) -> None:
    def without_its_last(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in weights.items() if name != "decoder.conv_out.weight"}

    changed_weights(vae_folder / "diffusion_pytorch_model.safetensors", without_its_last)
    assert "1 of its weights are missing (decoder.conv_out.weight)" in codec_refused(vae_folder)


def test_latents_are_normalised_channel_by_channel_where_the_configuration_says_so(vae_folder: Path) -> None:
    images = torch.rand(1, 3, 16, 16) * 2 - 1
    plain = make_codec(LatentSettings(codec="vae", folder=str(vae_folder)), CPU)
    mean = plain.encode(images) / 0.5 + 0.25
    changed_json(
        vae_folder / "config.json", latents_mean=[0.1, 0.2, 0.3, 0.4], latents_std=[1.0, 2.0, 4.0, 8.0]
    )
    codec = make_codec(LatentSettings(codec="vae", folder=str(vae_folder)), CPU)
    latents = codec.encode(images)
    torch.testing.assert_close(latents[:, 3], (mean[:, 3] - 0.4) * 0.5 / 8)
    torch.testing.assert_close(codec.decode(latents), plain.decode(plain.encode(images)))


def test_latents_of_4x96x96_are_trained_on(
    tiny: Architecture, settings: TrainingSettings, tmp_path: Path
) -> None:
    """768 px through an autoencoder of f = 8."""
    folder = tiny_autoencoder(tmp_path / "vae", levels=4)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 768, 768, 3), np.uint8)
    data = SplitImages(ScenesSettings(image_size_px=768), InMemory(pixels, ["red", "blue", "green", "grey"]))
    own = replace(tiny, latent_channels=4, latent_size=96)
    alone = replace(settings, batch_size=1, latents=LatentSettings(codec="vae", folder=str(folder)))
    trainer = Trainer(own, data, alone, seed=0)
    assert trainer.averaged.latent_shape == (4, 96, 96)
    trainer.train_to(1)
    assert trainer.averaged.codec.decode(torch.zeros(1, 4, 96, 96)).shape == (1, 3, 768, 768)
    with pytest.raises(InputError, match=r"latent_channels: .* 12, .* codec .* 4"):
        Trainer(replace(own, latent_channels=12), data, alone, seed=0)
    with pytest.raises(InputError, match=r"needed: data\.image_size_px=512"):
        Trainer(replace(own, latent_size=64), data, alone, seed=0)


def test_large_images_go_through_an_autoencoder_a_few_at_a_time(
    vae_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = make_codec(LatentSettings(codec="vae", folder=str(vae_folder)), CPU)
    images = torch.rand(5, 3, 16, 16) * 2 - 1
    together = codec.encode(images)
    decoded = codec.decode(together)
    monkeypatch.setattr(training.latents, "PIXELS_AT_ONCE", 2 * 16**2)
    torch.testing.assert_close(codec.encode(images), together)
    torch.testing.assert_close(codec.decode(together), decoded)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scaling_factor": 0.0}, "has scaling_factor = 0.0; needed: a number above 0"),
        ({"scaling_factor": -0.5}, "has scaling_factor = -0.5"),
        ({"scaling_factor": None}, "has scaling_factor = None"),
        ({"scaling_factor": float("nan")}, "has scaling_factor = nan"),
        ({"shift_factor": float("inf")}, "has shift_factor = inf; needed: a finite number, or null"),
        ({"latents_mean": [0.0] * 4}, "has latents_std = None; needed: 4 numbers above 0, one a channel"),
        ({"latents_std": [1.0] * 4}, "has latents_mean = None; needed: 4 numbers, one a channel"),
        ({"latents_mean": [0.0] * 3, "latents_std": [1.0] * 4}, "has latents_mean = [0.0, 0.0, 0.0]"),
        (
            {"latents_mean": [0.0] * 4, "latents_std": [1.0, 1.0, 0.0, 1.0]},
            "has latents_std = [1.0, 1.0, 0.0",
        ),
    ],
)
def test_a_scale_or_shift_that_no_latents_can_have_is_refused(
    vae_folder: Path, changes: dict[str, Any], said: str
) -> None:
    changed_json(vae_folder / "config.json", **changes)
    assert said in codec_refused(vae_folder)

"""The paper's scale through the same code as the short run: `proxy=full` and no other path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from space.architecture import Architecture
from space.proxy import Proxy, narrow
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.latents import LatentSettings
from training.settings import TrainingSettings
from training.trainer import Trainer

MD = Path(__file__).parents[2] / "conf" / "arch" / "md.yaml"


@pytest.mark.slow  # a step of 387 M parameters on a CPU: a minute and about 10 GB
def test_md_takes_a_training_step_at_full_width(tmp_path: Path) -> None:
    """512 px images, an autoencoder of f = 8 and c = 8 (random: its size is not what is tested)."""
    from diffusers import AutoencoderKL

    AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=8,
        norm_num_groups=4,
    ).save_pretrained(tmp_path / "vae")
    settings = TrainingSettings(
        steps=1,
        batch_size=1,
        validation_images=1,
        device="cpu",
        latents=LatentSettings(codec="vae", folder=str(tmp_path / "vae")),
    )
    architecture = narrow(Architecture.load(MD), Proxy())
    trainer = Trainer(architecture, load_data(ScenesSettings(scenes=8, image_size_px=512)), settings, seed=0)
    assert trainer.parameters == 387_376_712
    losses: list[float] = []
    trainer.train_to(1, lambda step, loss: losses.append(loss))
    assert torch.isfinite(torch.tensor(losses)).all()
    # The output convolution starts at zero: the first step moves it, and it alone of the UNet.
    assert float(trainer.objective.model.unet.conv_out.weight.detach().abs().max()) > 0

"""A network and a data set small enough to train in a test."""

from __future__ import annotations

import pytest
import torch

from space.architecture import Architecture, Level
from training.data import Dataset, DataSettings, load_data
from training.loop import TrainingSettings


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """Two levels, one transformer layer: 8x8x12 latents of 16 px pictures, 12 x 16 context."""
    return Architecture(
        levels=(
            Level(8, "full", (0,), (0, 0)),
            Level(16, "separable", (1,), (1, 0), self_attention=True, cross_attention=True),
        ),
        head_width=None,
        heads=2,
        norm_groups=4,
        time_width=16,
        latent_channels=12,
        latent_size=8,
        context_length=12,
        context_width=16,
    )


@pytest.fixture(scope="session")
def scenes() -> Dataset:
    return load_data(DataSettings(scenes=960, image_size_px=16))


@pytest.fixture(scope="session")
def settings() -> TrainingSettings:
    return TrainingSettings(
        steps=40, batch_size=8, warmup_steps=4, sampling_steps=4, validation_images=16, device="cpu"
    )

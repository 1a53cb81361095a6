"""A trained model of the tiny network, captions, and its samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from space.architecture import Architecture
from tests.training.generation.examples import OURS
from training.data.dataset import Dataset
from training.generation.sample_folder import SampleFolder
from training.generation.samples import generate_samples
from training.settings import TrainingSettings
from training.trainer import Trainer


@pytest.fixture(scope="session")
def model(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("model")
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(2)
    trainer.save_weights(folder)
    return folder


@pytest.fixture(scope="session")
def captions(scenes: Dataset) -> list[str]:
    return scenes.held_out_captions[:15]


@pytest.fixture(scope="session")
def whole(model: Path, captions: list[str], tmp_path_factory: pytest.TempPathFactory) -> SampleFolder:
    """Drawn by one process that nothing disturbed."""
    return generate_samples(model, captions, OURS, tmp_path_factory.mktemp("samples") / "whole", device="cpu")

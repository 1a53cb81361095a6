"""A network and a data set to train in a test, and a tiny autoencoder and CLIP to be frozen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from space.architecture import Architecture
from tests.training.examples import TINY, Makes
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.distillation import Distiller
from training.objectives.ufogen import UfogenSettings
from training.settings import TrainingSettings
from training.trainer import Trainer


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """Two levels, one transformer layer: 8x8x12 latents of 16 px images, 12 x 16 context."""
    return TINY


@pytest.fixture(scope="session")
def scenes() -> Dataset:
    return load_data(ScenesSettings(scenes=960, image_size_px=16))


@pytest.fixture(scope="session")
def settings() -> TrainingSettings:
    return TrainingSettings(
        steps=40, batch_size=8, warmup_steps=4, sampling_steps=4, validation_images=16, device="cpu"
    )


@pytest.fixture(scope="session")
def base_folder(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model that has learnt a little: an untrained one predicts zero whatever it is given."""
    trainer, folder = Trainer(tiny, scenes, settings, seed=0), tmp_path_factory.mktemp("base")
    trainer.train_to(6)
    trainer.save_weights(folder)
    return folder


@pytest.fixture
def make_distiller(base_folder: Path, scenes: Dataset, settings: TrainingSettings) -> Makes:
    """Called with fields of `UfogenSettings`."""

    def made(**own: object) -> Distiller:
        return Distiller(base_folder, scenes, settings, UfogenSettings(**own), seed=1)  # type: ignore[arg-type]

    return made


@pytest.fixture
def vae_folder(tmp_path: Path) -> Path:
    return tiny_autoencoder(tmp_path / "vae", levels=2)


def tiny_autoencoder(folder: Path, levels: int) -> Path:
    """Random weights, 4 latent channels, f = 2^(levels - 1)."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=levels < 4,  # its attention would be over all of a large image's latents
        scaling_factor=0.5,
        shift_factor=0.25,
    )
    vae.save_pretrained(folder)
    return folder


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    return tiny_clip(tmp_path / "clip")


def tiny_clip(folder: Path) -> Path:
    """Random weights, 10 x 16 features; its tokens are letters."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=10,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
    )
    CLIPTextModel(config).save_pretrained(folder)
    return folder

"""What the card of an adapter and that of an autoencoder say: what each is, whose images, how to load it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from space.autoencoder import Autoencoder
from training.adapter_kinds import AdapterKind, ControlNetSettings, InpaintingSettings, StyleSettings
from training.adapting import AdapterTrainer
from training.autoencoder import AutoencoderTrainer
from training.card_parts import CardSettings
from training.data.dataset import Dataset
from training.data.emoji import EmojiSettings
from training.data.scenes import ScenesSettings
from training.generation.identity import model_identity
from training.objectives.reconstruction import ReconstructionSettings
from training.part_cards import adapter_card, autoencoder_card
from training.run import ModelScores
from training.settings import TrainingSettings

TINY = """schema_version: 1
latent_channels: 2
encoder: {norm_groups: 4, levels: [{channels: 4, blocks: 1}, {channels: 4, blocks: 1}]}
decoder: {norm_groups: 4, levels: [{channels: 4, blocks: 1}, {channels: 4, blocks: 1}]}
"""


@pytest.mark.parametrize(
    ("own", "title", "given"),
    [
        (ControlNetSettings(), "A ControlNet that follows Canny edges", "image=edges, "),
        (InpaintingSettings(), "Inpainting", "image=image, mask_image=mask, strength=1.0, "),
        (StyleSettings(rank=2), "LoRA of a style", ""),
    ],
)
def test_an_adapter_says_what_it_belongs_to_and_how_it_is_used(
    own: AdapterKind, title: str, given: str, base_folder: Path, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = AdapterTrainer(base_folder, scenes, settings, own, seed=1)
    stated = CardSettings(licence="apache-2.0")
    scored = ModelScores({"validation_loss": 0.25})
    folder = Path("adapters") / "mine"
    text = adapter_card(folder, trainer, base_folder, ScenesSettings(), stated, scored)
    base, sampled = trainer.base.settings, f"num_inference_steps={settings.sampling_steps}"
    assert settings.sampling_steps == base.sampling_steps
    prompt = repr(scenes.train_captions[0])
    for said in (
        f"{title} for {base_folder.name}, trained by mdsearch",
        f"| base | {base_folder.name}, digest `{model_identity(base_folder)['digest']}`, architecture",
        f"| learnt | {trainer.parameters:,} parameters; the base's own are as they were |",
        "| licence of the weights | apache-2.0 |",
        "| licence of the images | not stated |",
        f"0 steps of {settings.batch_size} images, learning rate {settings.learning_rate:g}, seed 1",
        f"    mdsearch attach model={base_folder} folder=adapters/mine out=mine-pipeline",
        f"pipeline({prompt}, {given}{sampled}, guidance_scale={base.guidance:g}).images[0]",
        "| validation_loss | 0.25 | - |",
    ):
        assert said in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    compile(code[1], "card", "exec")
    head = yaml.safe_load(text.split("---")[1])
    assert (head["license"], head["library_name"]) == ("apache-2.0", "mdsearch") and own.name in head["tags"]


def test_an_autoencoder_says_what_comes_back_and_whose_images_it_saw(scenes: Dataset) -> None:
    settings = ReconstructionSettings(device="cpu", batch_size=4, validation_images=4, perceptual=0.0)
    a = Autoencoder.from_plain(yaml.safe_load(TINY), "tiny")
    trainer = AutoencoderTrainer(a, scenes, settings, seed=3)
    scored = ModelScores({"psnr": 20.0}, {"psnr": 0.5}, 4)
    text = autoencoder_card(Path("ae"), trainer, EmojiSettings(), CardSettings(), scored)
    for said in (
        f"| autoencoder | `{trainer.autoencoder.id}`, {trainer.parameters:,} parameters; latents of 2 chan",
        "| licence of the images | CC BY-SA 4.0 |",
        "Images: All emojis designed by",
        f"0 steps of 4 images, learning rate {settings.learning_rate:g}, seed 3",
        "| psnr | 20 | 19.02 to 20.98 |",
    ):
        assert said in text
    own = replace(a, image_size=16)
    assert trainer.autoencoder == own and ".from_pretrained(" in text
    assert "Not measured yet." in autoencoder_card(
        Path("ae"), trainer, ScenesSettings(), CardSettings(), ModelScores()
    )

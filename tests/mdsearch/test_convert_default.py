"""What the default trains, words, coordinates and pixels, is a whole pipeline of diffusers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from diffusers.utils import dynamic_modules_utils
from transformers import CLIPTextModel

from mdsearch.commands import convert
from space.interchange.clipped_ddim import ClippedDDIMScheduler
from space.interchange.pipeline_unet import PipelineUNet
from space.interchange.pixel_autoencoder import PixelAutoencoder
from tests.mdsearch.test_convert import MD_LIKE, SD_LIKE, converted, settings, trained
from training.generation.generators import open_generator
from training.generation.settings import GenerationSettings
from training.latents import LatentSettings
from training.model import Model
from training.text import TextSettings

CPU = torch.device("cpu")
# One fills all ten tokens, one has none of its own, one holds words that are not known.
PROMPTS = ["A red circle, a red circle: a red circle.", "", "other red things"]
DEFAULT = replace(MD_LIKE, latent_channels=14)
WORDS = replace(
    settings(prediction="x0"),
    latents=LatentSettings(coordinates=True),
    text=TextSettings(layers=2, heads=4),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """As `mdsearch search` and `train` write it, but that it is tiny and its weights are random."""
    folder = tmp_path_factory.mktemp("default")
    return trained(DEFAULT, WORDS, folder / "trial"), folder / "trial"


@pytest.fixture(scope="module")
def pipeline_folder(model: tuple[Model, Path]) -> Path:
    out = model[1].parent / "pipeline"
    assert convert.main([f"model={model[1]}", f"out={out}", "to=pipeline_unet"]) == 0
    assert len({file.stat().st_mode for file in out.rglob("*") if file.is_file()}) == 1  # as the umask says
    return out


def loaded(folder: Path) -> Any:
    own = {
        "unet": PipelineUNet,
        "vae": PixelAutoencoder,
        "scheduler": ClippedDDIMScheduler,
    }  # a folder's code would be loaded by diffusers
    parts = {name: kind.from_pretrained(folder / name) for name, kind in own.items()}
    pipeline = DiffusionPipeline.from_pretrained(folder, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def clean(model: Model, guidance: float, steps: int) -> np.ndarray:
    """(B, H, W, 3) in [0, 1], before the rounding to bytes."""
    latents = model.diffusion.sample(
        model.eval(),
        model.initial_noise(5, range(len(PROMPTS))),
        model.text_encoder.encode(PROMPTS),
        model.text_encoder.encode([""]),
        steps=steps,
        guidance=guidance,
    )
    return (model.codec.decode(latents) / 2 + 0.5).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("guidance", "steps"), [(1.0, 4), (3.0, 6)])
def test_the_stock_pipeline_generates_the_same_images(
    guidance: float, steps: int, model: tuple[Model, Path], pipeline_folder: Path
) -> None:
    pipeline = loaded(pipeline_folder)
    assert type(pipeline) is StableDiffusionPipeline and type(pipeline.text_encoder) is CLIPTextModel
    assert pipeline.unet.config.in_channels == pipeline.unet.config.out_channels == 12
    noise = model[0].initial_noise(5, range(len(PROMPTS)))
    with torch.no_grad():
        made = pipeline(
            PROMPTS, latents=noise, num_inference_steps=steps, guidance_scale=guidance, output_type="np"
        ).images
        ours = clean(model[0], guidance, steps)
    clipped = ((ours == 0) | (ours == 1)).mean()
    assert ours.std(axis=0).max() > 0.1 and 0.01 < clipped < 0.95
    assert np.abs(made - ours).max() < 1e-4


def test_it_loads_as_anybody_loads_it_and_is_saved_again(
    model: tuple[Model, Path], pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    pipeline = DiffusionPipeline.from_pretrained(pipeline_folder, trust_remote_code=True)
    assert type(pipeline) is StableDiffusionPipeline
    pipeline.save_pretrained(tmp_path / "again")
    index, again = (
        json.loads((folder / "model_index.json").read_text())
        for folder in (pipeline_folder, tmp_path / "again")
    )
    tokenizers = {index.pop("tokenizer")[1], again.pop("tokenizer")[1]}
    assert tokenizers <= {"PreTrainedTokenizerFast", "TokenizersBackend"}  # the latter is its name of today
    assert again.pop("_name_or_path") and index == again
    asked = GenerationSettings(count=3, image_size_px=16, steps=6, guidance=3.0, seed=5, batch_size=3)
    ours = open_generator(model[1], asked, CPU).generate(PROMPTS, [0, 1, 2]).astype(int)
    for folder, indices in ((pipeline_folder, [0, 1, 2]), (tmp_path / "again", [1, 2])):
        images = open_generator(folder, asked, CPU).generate([PROMPTS[index] for index in indices], indices)
        assert np.abs(images - ours[indices]).max() <= 1  # of 255: rounded elsewhere


def test_a_network_of_diffusers_own_layout_needs_no_class_of_ours_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained(replace(SD_LIKE, latent_channels=12), settings(prediction="x0"), tmp_path / "trial")
    told = converted(capsys, f"model={tmp_path / 'trial'}", f"out={tmp_path / 'sd'}", "to=diffusers")
    assert told["left_out"] == []
    index = json.loads((tmp_path / "sd" / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    asked = GenerationSettings(count=2, image_size_px=16, steps=3, guidance=2.0, seed=5, batch_size=2)
    images = open_generator(tmp_path / "sd", asked, CPU).generate(["a red", "circle"], [0, 1]).astype(int)
    assert np.abs(images - model.generate(["a red", "circle"], seed=5)).max() <= 1
    told = converted(capsys, f"model={tmp_path / 'sd'}", f"out={tmp_path / 'ours'}", "to=mdsearch")
    assert len(told["left_out"]) == 1 and "holds a PixelAutoencoder" in told["left_out"][0]


def test_coordinates_stay_with_their_network(
    pipeline_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = converted(capsys, f"model={pipeline_folder}", f"out={tmp_path / 'again'}", "to=pipeline_unet")
    assert again["left_out"] == []
    alone = converted(capsys, f"model={pipeline_folder / 'unet'}", f"out={tmp_path / 'alone'}", "to=mdsearch")
    assert [line.partition(":")[0] for line in alone["left_out"]] == ["scheduler"]
    for folder in (tmp_path / "again" / "unet", tmp_path / "alone"):
        unet = PipelineUNet.from_pretrained(folder)
        assert unet.config.coordinates and unet.config.in_channels == 12


def test_what_keeps_a_model_from_being_a_pipeline_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = replace(SD_LIKE, latent_channels=29, latent_size=4)
    what = replace(WORDS, latents=LatentSettings(factor=3, coordinates=True), image_size_px=12)
    trained(odd, what, tmp_path / "trial")
    told = converted(capsys, f"model={tmp_path / 'trial'}", f"out={tmp_path / 'out'}", "to=diffusers")
    assert [line.partition(":")[0] for line in told["left_out"]] == [
        "latents.factor", "image_size_px", "latents.coordinates",
    ]  # fmt: skip
    assert not (tmp_path / "out" / "model_index.json").exists()
    scheduler = json.loads((tmp_path / "out" / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler["thresholding"] and scheduler["prediction_type"] == "sample"

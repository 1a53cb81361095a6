"""A whole trained model generates the same images in ONNX Runtime, without PyTorch and without us."""

from __future__ import annotations

import json
import keyword
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import normalizers
from torch import nn
from transformers import CLIPTextConfig

from analysis.export.components import random_unet, unet_component
from analysis.export.generate_onnx import Pipeline
from analysis.export.onnx_component import run_onnx, write_onnx_component
from analysis.export.pipeline import write_pipeline
from analysis.export.pipeline_components import coordinates_inside, decoder_component, text_component
from evaluators.latency.whole import OwnDecoder
from mdsearch.commands import export
from space.architecture import Architecture, Level
from space.autoencoder import Autoencoder, ImageLevel, Way
from space.coordinates import with_coordinates
from space.interchange.pipeline_autoencoder import PipelineAutoencoder
from space.shared.plain import InputError
from tests.mdsearch.test_convert import settings, trained
from tests.space.interchange.test_pipeline_unet import parts
from tests.training.conftest import tiny_autoencoder
from training.latents import LatentSettings
from training.model import Model
from training.text import TextSettings

WITH_WORDS = Architecture(
    (Level(8, "separable", (1,), (0, 0), cross_attention=True),),
    head_width=None, heads=2, norm_groups=4, time_width=16,
    latent_channels=14, latent_size=8, context_length=6, context_width=16,
)  # fmt: skip
FROZEN = replace(WITH_WORDS, latent_channels=4)
PROMPTS = ["A red circle, a red circle.", "", "other red things"]
BLOCKED = (
    "torch", "transformers", "diffusers", "tokenizers", "safetensors", "PIL",
    "mdsearch", "analysis", "search", "evaluators", "training", "conf", "space",
)  # fmt: skip
ALONE = f"""
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"{{name}} is blocked")
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def with_words(base: Path) -> tuple[Model, Path]:
    """As the default trains it."""
    latents, text = LatentSettings(coordinates=True), TextSettings(layers=1, heads=4)
    what = replace(settings(prediction="x0"), latents=latents, text=text)
    return trained(WITH_WORDS, what, base / "model"), base / "model"


def frozen(folder: Path) -> tuple[Model, Path]:
    """As the paper does: a CLIP text encoder and an AutoencoderKL, here with latents that are moved."""
    tiny_autoencoder(folder / "vae", levels=2)
    for name in ("text_encoder", "tokenizer"):
        parts(FROZEN)[name].save_pretrained(folder / name)
    return trained(FROZEN, settings(folder), folder / "model"), folder / "model"


# Slow, the second: three parts more that PyTorch exports in six seconds.
@pytest.fixture(scope="module", params=[with_words, pytest.param(frozen, marks=pytest.mark.slow)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """By the command, as the docs say it."""
    base = tmp_path_factory.mktemp("whole")
    model, place = request.param(base)
    folder = base / "exported"
    assert export.main([f"model={place}", "to=onnx", f"out={folder}", "format=json"]) == 0
    for name in ("text_encoder", "unet", "vae_decoder"):
        manifest = json.loads((folder / name / "manifest.json").read_text())
        assert manifest["component"] == name and manifest["verified"]
        assert manifest["check"]["deviation"] > 0.1
        if name == "unet":
            assert manifest["inputs"]["sample"]["shape"] == ["batch", model.codec.channels, 8, 8]
    return model, folder


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_latents_and_images_are_the_same(guidance: float, exported: tuple[Model, Path]) -> None:
    model, folder = exported
    pipeline, noise = Pipeline(folder, threads=1), model.initial_noise(5, range(3))
    latents = model.diffusion.sample(
        model.eval(), noise, model.text_encoder.encode(PROMPTS), model.text_encoder.encode([""]),
        steps=6, guidance=guidance,
    )  # fmt: skip
    made = pipeline.denoise(PROMPTS, noise.numpy(), 6, guidance)
    assert latents.std(dim=0).max() > 0.1 and np.abs(made - latents.numpy()).max() < 1e-3
    images = model.codec.decode(latents).permute(0, 2, 3, 1).numpy()
    assert np.abs(pipeline.decode(made) - images).max() < 1e-3


def test_the_script_alone_gives_the_image_of_the_seed(exported: tuple[Model, Path], tmp_path: Path) -> None:
    model, folder = exported
    away = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = [*PROMPTS, "--out", "images.npy", "--seed", "5", "--guidance", "3", "--threads", "1"]
    ran = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(folder / "generate.py"), *words],
        cwd=tmp_path, env=away, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "images.npy\n")
    made, ours = np.load(tmp_path / "images.npy"), model.generate(PROMPTS, seed=5, guidance=3.0)
    assert made.dtype == np.uint8 and len({image.tobytes() for image in ours}) == 3
    assert np.abs(made.astype(int) - ours).max() <= 1


def test_a_tokenizer_that_the_script_does_not_read_is_refused(tmp_path: Path) -> None:
    model, _ = frozen(tmp_path / "frozen")
    backend: Any = model.text_encoder.tokenizer.backend_tokenizer  # type: ignore[operator, union-attr]
    backend.normalizer = normalizers.StripAccents()
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"text.folder: its tokenizer reads .* otherwise than CLIP's"):
        write_pipeline(model, tmp_path / "out", about={})


def test_what_the_script_does_not_do_is_refused(tmp_path: Path) -> None:
    model, _ = with_words(tmp_path)
    model.settings = replace(model.settings, one_step=True, sampling_steps=2)
    with pytest.raises(InputError, match="model: generates in 2 steps of onestep"):
        write_pipeline(model, tmp_path, about={})
    model.settings = replace(model.settings, sampling_steps=1)
    model.architecture = replace(model.architecture, guidance_width=8)
    with pytest.raises(InputError, match="guidance_width: 8"):
        write_pipeline(model, tmp_path, about={})


def test_a_text_encoder_that_cannot_be_exported_names_the_module(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^text_encoder: encoder.layers.1 cannot be exported: .*airy_ai"):
        write_onnx_component(text_component(OddText(), 0), tmp_path / "model.onnx", "fp32")


class OddLayer(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.special.airy_ai(features)


class OddText(torch.nn.Module):
    """As much of a CLIP text model as an export asks for, with a layer that no runtime knows."""

    def __init__(self) -> None:
        super().__init__()
        self.config = CLIPTextConfig(vocab_size=5, max_position_embeddings=4)
        self.encoder = torch.nn.Module()
        self.encoder.layers = torch.nn.ModuleList([torch.nn.Embedding(5, 4), OddLayer()])
        self.final_layer_norm = torch.nn.LayerNorm(4)

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> tuple[torch.Tensor]:
        first, second = self.encoder.layers
        return (self.final_layer_norm(second(first(ids))),)


def test_coordinates_stand_beside_what_else_a_network_is_told() -> None:
    """A student of the default's models, which is told its guidance."""
    whole = unet_component(random_unet(replace(WITH_WORDS, guidance_width=5)))
    inside = coordinates_inside(whole)
    sample, *others = inside.inputs.values()
    assert sample.shape == (2, 12, 8, 8) and list(inside.inputs) == list(whole.inputs)
    with torch.no_grad():
        wanted = whole.module(with_coordinates(sample), *others)[:, :-2]
    assert inside()[0].equal(wanted) and wanted.std() > 0.1
    assert sample.is_contiguous()  # ExecuTorch takes no other
    around = coordinates_inside(replace(whole, module=_Last()), conditions=3)
    traced = str(torch.jit.trace(around.module, tuple(around.inputs.values())).graph)
    assert "aten::cat" in traced and "aten::size" not in traced  # coremltools makes no numbers of sizes


class _Last(nn.Module):
    """In the place of a network: what it is given."""

    def forward(self, sample: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return sample


def test_a_decoder_of_ours_is_exported_and_timed_as_any(tmp_path: Path) -> None:
    """One of its places is called `in`, which is no name in Python's source."""
    levels = (ImageLevel(4, 1, "plain"), ImageLevel(8, 1, "separable"))
    described = Autoencoder(Way(levels, norm_groups=4), Way(levels, norm_groups=4), 4, image_size=16)
    vae = PipelineAutoencoder(described.to_plain()).eval()
    component = decoder_component(vae, (4, 8, 8))
    assert next(name for name, _ in component.stages) == "vae.network.decoder.places.in.0"
    write_onnx_component(component, tmp_path / "model.onnx", "fp32")
    latents = component.inputs["latent_sample"]
    with torch.no_grad():
        wanted = vae.decode(latents).sample
    made = run_onnx(tmp_path / "model.onnx", {"latent_sample": latents.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(made), wanted)
    with torch.no_grad():
        assert OwnDecoder(described)(latents).shape == wanted.shape
    assert not any(keyword.iskeyword(part) for part in _parts(OwnDecoder(described)))


def _parts(module: nn.Module) -> set[str]:
    return {part for name, _ in module.named_modules() if name for part in name.split(".")}

"""Any text-to-image pipeline of diffusers generates from its folder as by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsearch.commands import generate_samples as samples
from space.shared.plain import InputError
from space.shared.seeds import generator
from tests.space.interchange.test_pipeline_unet import FOUND, parts, randomised, stable_diffusion
from tests.training.generation.examples import contents, prompts_file
from training.generation.generators import open_generator
from training.generation.identity import model_identity
from training.generation.sample_folder import read_manifest
from training.generation.samples import Shard, generate_samples
from training.generation.settings import GenerationSettings

CPU = torch.device("cpu")
PIPELINE = GenerationSettings(count=3, image_size_px=16, steps=2, guidance=3.0, seed=1, batch_size=2)
PROMPTS = ["a red circle", "a blue square", ""]


def own_unet() -> torch.nn.Module:
    from space.interchange.pipeline_unet import PipelineUNet

    return PipelineUNet.wrapping(randomised(FOUND))


def diffusers_unet() -> torch.nn.Module:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=24,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )


@pytest.fixture(scope="module", params=[own_unet, diffusers_unet])
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-image pipeline with random weights, around our network or diffusers' own."""
    folder = tmp_path_factory.mktemp("pipeline")
    stable_diffusion(request.param(), FOUND).save_pretrained(folder)
    return folder


def test_a_pipeline_generates_from_its_folder_as_by_hand(pipeline: Path, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    from space.interchange.pipeline_unet import PipelineUNet

    kind = json.loads((pipeline / "unet" / "config.json").read_text())["_class_name"]
    folder = generate_samples(pipeline, PROMPTS, PIPELINE, tmp_path / "ddim", device="cpu")
    assert read_manifest(folder.path)["model"]["kind"] == "StableDiffusionPipeline"
    class_ = UNet2DConditionModel if kind == "UNet2DConditionModel" else PipelineUNet
    by_hand = StableDiffusionPipeline.from_pretrained(
        pipeline, unet=class_.from_pretrained(pipeline / "unet")
    )
    by_hand.scheduler = DDIMScheduler.from_config(by_hand.scheduler.config)
    generated = []
    for start, prompts in ((0, PROMPTS[:2]), (2, PROMPTS[2:])):
        noise = [generator("initial noise", 1, start + index) for index in range(len(prompts))]
        images = by_hand(
            prompts, height=16, width=16, num_inference_steps=2, guidance_scale=3.0, generator=noise
        ).images
        generated += [np.asarray(image) for image in images]
    assert np.array_equal(folder.read(), np.stack(generated))
    assert len({image.tobytes() for image in generated}) == 3

    for number in (2, 1):
        generate_samples(
            pipeline, PROMPTS, PIPELINE, tmp_path / "shards", shard=Shard(number, 2), device="cpu"
        )
    assert contents(tmp_path / "shards") == contents(folder.path)


def test_a_pipeline_takes_any_scheduler_that_it_can_have(pipeline: Path, tmp_path: Path) -> None:
    images = {}
    for name in (
        "ddim",
        "HeunDiscreteScheduler",
        "eulerancestraldiscrete",
        "lcm",
        "TCDScheduler",
        "sasolver",
    ):
        settings = replace(PIPELINE, sampler=name)
        images[name] = open_generator(pipeline, settings, CPU).generate(PROMPTS[:2], [0, 1])
    assert len({generated.tobytes() for generated in images.values()}) == 6
    ancestral = replace(PIPELINE, sampler="eulerancestraldiscrete")  # adds noise at every step
    again = open_generator(pipeline, ancestral, CPU).generate(PROMPTS[:2], [0, 1])
    assert np.array_equal(again, images["eulerancestraldiscrete"])
    lcm = open_generator(pipeline, replace(PIPELINE, sampler="lcm"), CPU)  # it adds noise, a sample's own
    alone = lcm.generate(PROMPTS[1:2], [1]).astype(int)
    assert np.abs(alone - images["lcm"][1:]).max() <= 1  # but for the rounding of another batch
    with pytest.raises(InputError, match=r"scheduler: 'pnmd' is none of .*; did you mean 'pndm'"):
        open_generator(pipeline, replace(PIPELINE, sampler="pnmd"), CPU)


def test_what_a_pipeline_cannot_do_is_said_in_one_line(pipeline: Path, tmp_path: Path) -> None:
    generator_ = open_generator(pipeline, replace(PIPELINE, image_size_px=15), CPU)
    with pytest.raises(InputError, match=r"^StableDiffusionPipeline: .*divisible by 8.*$"):
        generator_.generate(["a"], [0])
    with pytest.raises(InputError, match=r"image_size_px: missing \(required\)"):
        samples.main([f"model={pipeline}", f"captions={prompts_file(tmp_path)}", f"out={tmp_path / 'out'}"])
    for file in pipeline.rglob("*"):
        if file.is_file() and file.parent.name != "vae":
            copy = tmp_path / "broken" / file.relative_to(pipeline)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="does not load as a diffusers pipeline"):
        open_generator(tmp_path / "broken", PIPELINE, CPU)


def test_images_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    broken = stable_diffusion(own_unet(), FOUND)
    torch.nn.init.constant_(broken.vae.decoder.conv_out.bias, float("nan"))
    broken.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match=r"images 0 to 1 .*precision: fp32"):
        generate_samples(tmp_path / "model", PROMPTS, PIPELINE, tmp_path / "out", device="cpu")
    assert list((tmp_path / "out").glob("0*.png")) == []


def test_the_safety_checker_is_neither_asked_nor_part_of_the_digest(pipeline: Path, tmp_path: Path) -> None:
    for file in pipeline.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(pipeline)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    index = json.loads((tmp_path / "model_index.json").read_text())
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "requires_safety_checker": True,
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert model_identity(tmp_path) == model_identity(pipeline)
    generated = [
        open_generator(folder, PIPELINE, CPU).generate(["a"], [0]) for folder in (tmp_path, pipeline)
    ]
    assert np.array_equal(*generated)


def test_a_pipeline_that_needs_a_image_is_refused(tmp_path: Path) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    made = StableDiffusionImg2ImgPipeline(
        unet=diffusers_unet(), **parts(FOUND), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"StableDiffusionImg2ImgPipeline .*captions"):
        open_generator(tmp_path, PIPELINE, CPU)

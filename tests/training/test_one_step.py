"""Sampling in one step, and in a few with noise in between: against formulas written out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import Tensor

from mdsearch.commands import convert, generate_samples
from space.interchange.one_step import OneStepScheduler
from space.interchange.pipeline_unet import PipelineUNet
from space.interchange.pixel_autoencoder import PixelAutoencoder
from space.shared.plain import InputError
from space.shared.seeds import generator
from tests.mdsearch.test_convert import trained
from tests.mdsearch.test_convert_default import DEFAULT, PROMPTS, WORDS
from tests.training.test_diffusion import PREDICTIONS, make
from training.diffusion import Diffusion
from training.generation.generators import open_generator, own_settings
from training.generation.schedulers import rescheduled
from training.generation.settings import GenerationSettings
from training.model import Model, load_model

CPU = torch.device("cpu")


def signal_share(diffusion: Diffusion, timesteps: Tensor) -> Tensor:
    """(B,) a_t^2."""
    return diffusion.levels(timesteps)[0].flatten().square()


ASKED = GenerationSettings(
    count=3, image_size_px=16, steps=1, guidance=1.0, sampler="onestep", seed=5, batch_size=3
)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_clean_latents_of_a_prediction(prediction: str) -> None:
    """With a = sqrt(.36) and s = .8, x0 = 1 and e = 2: x_t = .6 + 1.6 = 2.2, v = 1.2 - .8 = .4."""
    diffusion = make(prediction)
    level = int((signal_share(diffusion, torch.arange(1000)) - 0.36).abs().argmin())
    share = float(signal_share(diffusion, torch.tensor([level])))
    a, s = share**0.5, (1 - share) ** 0.5
    if prediction == "flow":  # straight: a + s = 1
        a, s = share**0.5, 1 - share**0.5
    predicted = {"x0": 1.0, "epsilon": 2.0, "v": a * 2 - s * 1, "flow": 2 - 1}[prediction]
    clean = diffusion.clean(
        torch.full((1, 1, 1, 1), predicted), torch.full((1, 1, 1, 1), a + 2 * s), torch.tensor([level])
    )
    assert float(clean) == pytest.approx(1.0, abs=1e-5)


def test_behind_the_last_level_latents_are_clean() -> None:
    diffusion, clean, noise = make(), torch.ones(2, 1, 1, 1), torch.full((2, 1, 1, 1), 3.0)
    noised = diffusion.noised(clean, noise, torch.tensor([-1, 999]))
    assert noised.flatten().tolist() == pytest.approx([1.0, 3.0], abs=1e-3)
    assert signal_share(diffusion, torch.tensor([-1, 999])).tolist() == pytest.approx([1, 0], abs=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_step_is_the_clean_prediction_at_the_last_level(prediction: str) -> None:
    diffusion, noise, asked = make(prediction), torch.randn(2, 1, 2, 2), list[int]()

    def denoise(latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        asked.extend(timesteps.tolist())
        return latents / 2

    context = torch.zeros(2, 1, 1)
    made = diffusion.sample(denoise, noise, context, context[:1], steps=1, guidance=1, sampler="onestep")
    assert torch.equal(made, diffusion.clean(noise / 2, noise, torch.tensor([999, 999])))
    assert asked == [999, 999]
    usual = diffusion.sample(denoise, noise, context, context[:1], steps=1, guidance=1)
    torch.testing.assert_close(
        made, usual, rtol=1e-4, atol=1e-5
    )  # one step of DDIM, or of Euler's, is the same


def test_between_several_steps_the_prediction_is_noised_again() -> None:
    """Three steps, at 999, 666 and 332; the network halves, so x0 = x / 2 each time."""
    diffusion, fresh = make("x0"), [torch.full((1, 1, 1, 1), number) for number in (1.0, -2.0)]

    def denoise(latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        return latents / 2

    made = diffusion.sample(
        denoise,
        torch.full((1, 1, 1, 1), 8.0),
        *(torch.zeros(1, 1, 1),) * 2,
        steps=3,
        guidance=1,
        sampler="onestep",
        more_noise=iter(list(fresh)).__next__,
    )
    x = 8.0
    for level, noise in ((666, 1.0), (332, -2.0)):
        share = float(signal_share(diffusion, torch.tensor([level])))
        x = share**0.5 * x / 2 + (1 - share) ** 0.5 * noise
    assert float(made) == pytest.approx(x / 2, rel=1e-5)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model of random weights that generates in one step, and its folder."""
    folder = tmp_path_factory.mktemp("one step")
    own = replace(WORDS, one_step=True, sampling_steps=1, guidance=1.0)
    return trained(DEFAULT, own, folder / "model"), folder / "model"


@pytest.fixture(scope="module")
def pipeline_folder(distilled: tuple[Model, Path]) -> Path:
    out = distilled[1].parent / "pipeline"
    assert convert.main([f"model={distilled[1]}", f"out={out}", "to=pipeline_unet"]) == 0
    return out


def test_a_folder_says_how_it_generates(distilled: tuple[Model, Path], pipeline_folder: Path) -> None:
    own = {"steps": 1, "guidance": 1.0, "sampler": "onestep", "image_size_px": 16}
    assert own_settings(distilled[1]) == own
    assert own_settings(pipeline_folder) == {"sampler": "onestep"}
    assert "one_step" not in json.loads((distilled[1] / "model.json").read_text())["architecture"]
    again = load_model(distilled[1], "cpu")
    assert again.settings.one_step
    made = again.generate(PROMPTS, seed=5)
    latents = again.initial_noise(5, [0, 1, 2])
    context = again.text_encoder.encode(PROMPTS)
    with torch.no_grad():
        clean = again(latents, torch.full((3,), 999), context).clamp(-1, 1)
        expected = (again.codec.decode(clean) + 1) * 127.5
    assert np.array_equal(made, expected.round().byte().permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("steps", [1, 3])
def test_a_stock_pipeline_generates_the_same_pixels(
    steps: int, distilled: tuple[Model, Path], pipeline_folder: Path
) -> None:
    """Noise in between continues the streams that the initial noise came from."""
    parts = {"unet": PipelineUNet, "vae": PixelAutoencoder, "scheduler": OneStepScheduler}
    pipeline = StableDiffusionPipeline.from_pretrained(
        pipeline_folder,
        **{name: kind.from_pretrained(pipeline_folder / name) for name, kind in parts.items()},  # type: ignore[attr-defined]
    )
    pipeline.set_progress_bar_config(disable=True)
    asked = replace(ASKED, steps=steps)
    ours = open_generator(distilled[1], asked, CPU).generate(PROMPTS, [0, 1, 2])
    noise = [generator("initial noise", 5, index) for index in range(3)]
    images = pipeline(
        PROMPTS, generator=noise, num_inference_steps=steps, guidance_scale=1.0, output_type="np"
    ).images
    assert ours.std(axis=0).max() > 10
    assert np.array_equal((images * 255).round().astype(np.uint8), ours)
    assert np.array_equal(open_generator(pipeline_folder, asked, CPU).generate(PROMPTS, [0, 1, 2]), ours)


def test_a_pipeline_tells_the_guidance_scale_as_we_do(tmp_path: Path) -> None:
    own = replace(WORDS, one_step=True, sampling_steps=2, guidance=4.0)
    model = trained(replace(DEFAULT, guidance_width=8), own, tmp_path / "model")
    out = tmp_path / "pipeline"
    assert convert.main([f"model={tmp_path / 'model'}", f"out={out}", "to=pipeline_unet"]) == 0
    asked = replace(ASKED, steps=2, guidance=4.0)
    ours, other = (model.generate(PROMPTS, seed=5, guidance=scale).astype(int) for scale in (4.0, 2.0))
    theirs = open_generator(out, asked, CPU).generate(PROMPTS, [0, 1, 2])
    assert np.abs(theirs - ours).max() <= 1 < np.abs(other - ours).max()  # of 255: rounded elsewhere


def test_samples_take_the_sampler_of_their_model(
    distilled: tuple[Model, Path], pipeline_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("\n".join(PROMPTS[::2]))
    for name, model in (("ours", distilled[1]), ("theirs", pipeline_folder)):
        words = [f"model={model}", f"captions={tmp_path / 'captions.txt'}", f"out={tmp_path / name}"]
        assert generate_samples.main([*words, "image_size_px=16", "steps=1", "guidance=1"]) == 0
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert (manifest["settings"]["sampler"], manifest["settings"]["steps"]) == ("onestep", 1)
    with pytest.raises(InputError, match="'ddim' is not possible; allowed: onestep"):
        generate_samples.main(
            [f"model={distilled[1]}", f"captions={tmp_path / 'captions.txt'}", "out=x", "scheduler=ddim"]
        )


def test_another_scheduler_is_another_one(pipeline_folder: Path) -> None:
    own = OneStepScheduler.from_pretrained(pipeline_folder / "scheduler")
    assert rescheduled(own, "onestep") is own
    assert type(rescheduled(own, "ddim")) is DDIMScheduler

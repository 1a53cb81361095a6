"""Another scheduler does what the pipeline's own does: no default of a class gets between."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)

from space.shared.plain import InputError
from space.shared.seeds import generator
from tests.space.interchange.test_pipeline_unet import FOUND, stable_diffusion
from tests.training.generation.test_pipelines import CPU, PIPELINE, own_unet
from training.generation.generators import open_generator
from training.generation.schedulers import rescheduled

BETAS: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize(
    ("own", "stored", "stock"),
    [
        (  # as Stable Diffusion's, without the key that DDIM would fill with True
            PNDMScheduler(skip_prk_steps=True, steps_offset=1, **BETAS),
            None,
            DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **BETAS),
        ),
        (
            EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1, **BETAS),
            None,
            DDIMScheduler(clip_sample=False, steps_offset=1, **BETAS),
        ),
        (  # next to nothing stored: the pipeline does what its own class does by default
            EulerDiscreteScheduler(),
            {"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction"},
            DDIMScheduler(clip_sample=False, timestep_spacing="linspace", prediction_type="v_prediction"),
        ),
    ],
    ids=["pndm", "euler", "defaults"],
)
def test_images_are_those_of_the_stock_pipeline_with_its_semantics(
    own: Any, stored: dict[str, Any] | None, stock: Any, tmp_path: Path
) -> None:
    unet = own_unet()
    torch.nn.init.normal_(unet.unet.conv_out.weight, std=1.0)  # type: ignore[union-attr,arg-type]
    made = stable_diffusion(unet, FOUND)
    made.scheduler = own
    made.save_pretrained(tmp_path)
    file = tmp_path / "scheduler" / "scheduler_config.json"
    if stored is not None:
        file.write_text(json.dumps(stored))
    assert "clip_sample" not in json.loads(file.read_text())
    generated = open_generator(tmp_path, PIPELINE, CPU).generate(["a", "b"], [0, 1])
    by_hand = StableDiffusionPipeline.from_pretrained(tmp_path, unet=unet)
    by_hand.set_progress_bar_config(disable=True)

    def images(scheduler: Any) -> np.ndarray:
        by_hand.scheduler = scheduler
        noise = [generator("initial noise", 1, index) for index in (0, 1)]
        settings = {"height": 16, "width": 16, "num_inference_steps": 2, "guidance_scale": 3.0}
        made_ = by_hand(["a", "b"], generator=noise, output_type="np", **settings).images
        return (made_ * 255).round().astype(np.uint8)

    assert np.array_equal(generated, images(stock))
    clipping = images(DDIMScheduler.from_config(stock.config, clip_sample=True))
    assert not np.array_equal(generated, clipping)  # these images tell the two apart


def test_a_class_of_other_noise_levels_takes_the_pipelines() -> None:
    own = PNDMScheduler()  # linear, 0.0001 to 0.02
    for name, kind in (("heundiscrete", HeunDiscreteScheduler), ("lcm", LCMScheduler)):
        made = rescheduled(own, name)
        assert isinstance(made, kind)
        assert torch.allclose(made.alphas_cumprod, own.alphas_cumprod)
    back = rescheduled(LCMScheduler(), "ddim")  # scaled linear, 0.00085 to 0.012
    assert torch.allclose(back.alphas_cumprod, DDIMScheduler(**BETAS).alphas_cumprod)
    assert not back.config.clip_sample


def test_the_pipelines_own_class_is_left_as_it_is() -> None:
    own = DDIMScheduler()
    assert rescheduled(own, "ddim") is own and own.config.clip_sample


@pytest.mark.parametrize(
    ("own", "name", "message"),
    [
        (DDIMScheduler(), "eulerdiscrete", "EulerDiscrete.* cannot do .* DDIM.* does: clip_sample"),
        (DDIMScheduler(rescale_betas_zero_snr=True, clip_sample=False), "pndm", "rescale_betas_zero"),
        (UniPCMultistepScheduler(use_flow_sigmas=True), "ddim", "use_flow_sigmas True"),
        (EDMEulerScheduler(), "ddim", "noise levels"),
        (PNDMScheduler(), "edmeuler", "noise levels"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_do_what_the_pipelines_does_is_refused(own: Any, name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^scheduler: .*{message}"):
        rescheduled(own, name)


def test_a_class_that_needs_another_package_says_so() -> None:
    if find_spec("torchsde") is not None:
        pytest.skip("torchsde is installed")
    with pytest.raises(InputError, match="DPMSolverSDEScheduler needs torchsde, which is not installed"):
        rescheduled(PNDMScheduler(), "dpmsolversde")


def test_a_schedule_that_the_class_does_not_know_is_refused_in_one_line() -> None:
    own = DDPMScheduler(beta_schedule="sigmoid")
    with pytest.raises(InputError, match=r"^scheduler: DDIMScheduler: sigmoid"):
        rescheduled(own, "ddim")

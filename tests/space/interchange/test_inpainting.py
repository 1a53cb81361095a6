"""Inpainting as a difference of weights: what it is added to, and that stock pipelines take the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from space.coordinates import with_coordinates
from space.interchange.inpainting import carried_to, save_difference
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from space.unet import UNet
from space.unet_levels import Residuals
from tests.space.interchange.layouts import shaken
from tests.space.interchange.test_pipeline_unet import FOUND, generated, parts, randomised
from tests.space.interchange.test_stock_pipelines import IMAGE

COORDINATES = replace(FOUND, latent_channels=10)


def moved(unet: UNet, by: float) -> UNet:
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=by)
    return unet


@torch.no_grad()
def test_what_was_learnt_is_added_and_the_new_inputs_are_read_behind_the_latents(tmp_path: Path) -> None:
    base, trained, one_step = randomised(FOUND), moved(randomised(FOUND), 0.03), moved(randomised(FOUND), 0.5)
    inputs = torch.randn(16, 9, 3, 3) * 0.1
    save_difference(base, trained, inputs, tmp_path)
    made = carried_to(one_step, tmp_path)
    assert made.architecture.condition_channels == 9
    step = trained.conv_out.bias - base.conv_out.bias
    torch.testing.assert_close(made.conv_out.bias, one_step.conv_out.bias + step)
    latents, beside = torch.randn(2, 8, 8, 8), torch.randn(2, 9, 8, 8)
    told = torch.tensor([3, 900]), torch.randn(2, 7, 24)
    first = torch.nn.functional.conv2d(beside, inputs, padding=1)
    expected = trained(latents, *told, residuals=Residuals(first=first))
    ours = carried_to(base, tmp_path)(torch.cat([latents, beside], 1), *told)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert (expected - trained(latents, *told)).abs().max() > 0.01


def test_a_network_of_another_architecture_names_the_first_layer_that_differs(tmp_path: Path) -> None:
    save_difference(UNet(FOUND), UNet(FOUND), torch.zeros(16, 9, 3, 3), tmp_path)
    level = replace(FOUND.levels[1], channels=48)
    other = UNet(replace(FOUND, levels=(FOUND.levels[0], level, FOUND.levels[2])))
    with pytest.raises(
        InputError, match=r"^down\.1\.stages\.0\.conv\.\S+: .* in the adapter, .* in this netw"
    ):
        carried_to(other, tmp_path)
    told = carried_to(UNet(replace(FOUND, guidance_width=6)), tmp_path)  # of few steps: told the scale
    assert told.architecture.guidance_width == 6


@pytest.mark.parametrize("coordinates", [False, True])
def test_the_stock_pipeline_takes_it_whatever_the_number_of_latent_channels(coordinates: bool) -> None:
    """It asks for nine input channels, which are those of latents of four."""
    a = replace(COORDINATES if coordinates else FOUND, condition_channels=9)
    unet = shaken(UNet(a))
    assert isinstance(unet, UNet)
    wrapper = PipelineUNet.wrapping(unet, coordinates=coordinates)
    assert (int(wrapper.config.in_channels), wrapper.config.out_channels) == (17, 8)
    latents, beside, text = torch.randn(2, 8, 8, 8), torch.randn(2, 9, 8, 8), torch.randn(2, 7, 24)
    with torch.no_grad():
        seen = torch.cat([with_coordinates(latents) if coordinates else latents, beside], 1)
        expected = unet(seen, torch.tensor([7, 7]), text)[:, :8]
        assert torch.equal(wrapper(torch.cat([latents, beside], 1), 7, text).sample, expected)
    pipeline = diffusers.StableDiffusionInpaintPipeline(
        unet=wrapper, **parts(replace(a, latent_channels=8)), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    told = {"prompt": "a", "height": 16, "width": 16, "image": IMAGE.resize((16, 16))}
    half = np.zeros((16, 16), np.uint8)
    half[:, 8:] = 255
    whole = np.full((16, 16), 255, np.uint8)
    images = [generated(pipeline, **told, mask_image=Image.fromarray(mask)) for mask in (half, whole)]
    assert images[0].shape == (1, 16, 16, 3) and abs(images[0] - images[1]).max() > 0.001

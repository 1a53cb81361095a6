"""A ControlNet's folder: diffusers' own class reads it where it has the layout, ours everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, UNet2DConditionModel
from torch import Tensor, nn

from space.architecture import Architecture
from space.controlnet import ControlNet
from space.coordinates import with_coordinates
from space.interchange.controlnet_files import controlnet_config, save_controlnet
from space.interchange.diffusers_config import diffusers_config
from space.interchange.from_diffusers import architecture_from_diffusers
from space.interchange.pipeline_controlnet import PipelineControlNet
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.interchange.layouts import LAYOUTS, inputs, shaken
from tests.space.interchange.test_pipeline_unet import FOUND, generated, parts
from tests.space.interchange.test_stock_pipelines import IMAGE, architecture

WIDTHS = (16, 32)


def awake(a: Architecture) -> ControlNet:
    torch.manual_seed(1)
    made = shaken(ControlNet(a, WIDTHS))
    assert isinstance(made, ControlNet)
    return made


@torch.no_grad()
def residuals(network: nn.Module, latents: Tensor, context: Tensor, **more: Any) -> list[Tensor]:
    torch.manual_seed(5)
    size = [2 * side for side in latents.shape[-2:]]
    image = torch.rand(len(latents), 3, *size)
    down, middle = network(latents, 7, context, image, return_dict=False, **more)
    return [*down, middle]


def alike(one: list[Tensor], other: list[Tensor]) -> bool:
    return all((a - b).abs().max() < 1e-4 for a, b in zip(one, other, strict=True))


def test_where_diffusers_has_the_layout_it_is_diffusers(tmp_path: Path) -> None:
    a = architecture_from_diffusers(LAYOUTS["sdxl"], size_numbers=6, pooled_width=1280)
    kind = save_controlnet(awake(a), tmp_path / "theirs")
    assert kind == ("diffusers", "ControlNetModel")
    theirs, unet = (
        ControlNetModel.from_pretrained(tmp_path / "theirs"),
        UNet2DConditionModel(**LAYOUTS["sdxl"]),
    )
    copied = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=WIDTHS)
    assert theirs.state_dict().keys() == copied.state_dict().keys()
    written = controlnet_config(a, WIDTHS)
    assert {key: getattr(theirs.config, key) for key in written if key[0] != "_"} == {
        key: value for key, value in written.items() if key[0] != "_"
    }
    told = inputs(a)
    ours = PipelineControlNet(a.to_plain(), WIDTHS)
    ours.network.load_state_dict(awake(a).state_dict())
    latents, context = told["latents"], told["context"]
    assert latents is not None and context is not None
    added = {"text_embeds": told["pooled"], "time_ids": told["sizes"]}
    for more in ({}, {"guess_mode": True, "conditioning_scale": 0.5}):
        asked = {"added_cond_kwargs": added, **more}
        one, other = (residuals(network, latents, context, **asked) for network in (ours, theirs))
        assert alike(one, other) and max(float(each.abs().max()) for each in one) > 0.01


def test_any_other_runs_in_the_stock_pipeline_from_its_folder(tmp_path: Path) -> None:
    """MD's pattern, without a middle, and with coordinates: no ControlNetModel has such layers."""
    a = replace(FOUND, latent_channels=10)
    with pytest.raises(
        InputError, match=r"^levels\[1\]\.self_attention, cross_attention: .* has no diffusers"
    ):
        controlnet_config(a, WIDTHS)
    own = awake(a)
    assert save_controlnet(own, tmp_path, coordinates=True)[1] == "PipelineControlNet"
    again = PipelineControlNet.from_pretrained(tmp_path)
    latents, context = torch.randn(2, 8, 8, 8), torch.randn(2, 7, 24)
    with torch.no_grad():
        torch.manual_seed(5)
        expected = own(with_coordinates(latents), torch.tensor([7, 7]), context, torch.rand(2, 3, 16, 16))
    assert alike(residuals(again, latents, context), [*expected.skips, expected.middle])
    assert again.config.in_channels == 8
    unet = shaken(UNet(a))
    assert isinstance(unet, UNet)
    pipeline = StableDiffusionControlNetPipeline(
        unet=PipelineUNet.wrapping(unet, coordinates=True), controlnet=again,
        **parts(replace(a, latent_channels=8)), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    told = {"prompt": "a", "image": IMAGE.resize((16, 16)), "height": 16, "width": 16}
    images = [
        generated(pipeline, **told, guidance_scale=2.0, controlnet_conditioning_scale=scale)
        for scale in (1.0, 0.0)
    ]
    assert abs(images[0] - images[1]).max() > 0.01
    with pytest.raises(InputError, match="class_labels: not supported by PipelineControlNet"):
        residuals(again, latents, context, class_labels=1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"middle": None}, "middle: None has no layout of a ControlNetModel"),
        ({"time_width": 48}, "time_width: 48 .* four times the outermost channels"),
    ],
)
def test_what_a_controlnet_of_diffusers_cannot_say_though_its_unet_can(
    more: dict[str, Any], message: str
) -> None:
    a = replace(architecture(time_width=64), **more)
    diffusers_config(a)
    with pytest.raises(InputError, match=message):
        controlnet_config(a, WIDTHS)

"""A small network of Stable Diffusion's layout: ours and diffusers' own, with the same weights."""

from __future__ import annotations

import pytest
from diffusers import UNet2DConditionModel

from space.interchange.checkpoints import assign, diffusers_name, empty_unet
from space.interchange.from_diffusers import architecture_from_diffusers
from space.interchange.pipeline_unet import PipelineUNet
from tests.space.interchange.layouts import LAYOUTS, shaken

SD = LAYOUTS["sd15"] | {"block_out_channels": [16, 32, 64], "layers_per_block": 1} | {
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}  # fmt: skip
Pair = tuple[PipelineUNet, UNet2DConditionModel]


@pytest.fixture
def pair() -> Pair:
    peer = shaken(UNet2DConditionModel(**SD))
    architecture = architecture_from_diffusers(SD)
    weights = {name: tensor.clone() for name, tensor in peer.state_dict().items()}
    return PipelineUNet.wrapping(assign(empty_unet(architecture), weights, diffusers_name)).eval(), peer

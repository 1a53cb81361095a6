"""diffusers' own pipelines, unmodified, give with our network the images that they give with theirs."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from space.architecture import Architecture, Level, Middle
from space.interchange.checkpoints import diffusers_name
from space.interchange.diffusers_config import diffusers_config
from space.interchange.pipeline_unet import PipelineUNet
from space.unet import UNet
from tests.space.interchange.layouts import shaken
from tests.space.interchange.test_pipeline_unet import parts

SIZE = 24  # 12 latent pixels at this autoencoder's factor, which halve to 6
LATENTS = 4


def architecture(**more: Any) -> Architecture:
    return Architecture(
        (
            Level(16, "full", (1,), (1, 1), self_attention=True, cross_attention=True),
            Level(32, "full", (0,), (0, 0)),
        ),
        middle=Middle((1, 0)), feed_forward_ratio=4, activation="gelu", shared_key_value=False,
        stack_projection="conv", norm_groups=8, head_width=None, heads=2, latent_channels=LATENTS,
        latent_size=8, context_width=24, context_length=12, **more,
    )  # fmt: skip


def controlnet() -> Any:
    made = diffusers.ControlNetModel(
        block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=2,
        cross_attention_dim=24, conditioning_embedding_out_channels=(16, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    )  # fmt: skip
    return shaken(made)


def adapter() -> Any:
    return shaken(diffusers.T2IAdapter(channels=[16, 32], num_res_blocks=1, downscale_factor=2))


IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8))
MASK = Image.fromarray(np.full((SIZE, SIZE), 255, np.uint8))
PIPELINES: dict[str, tuple[str, Architecture, dict[str, Any], dict[str, Any]]] = {
    "text": ("StableDiffusionPipeline", architecture(), {}, {}),
    "image": ("StableDiffusionImg2ImgPipeline", architecture(), {}, {"image": IMAGE}),
    "inpainting": (
        "StableDiffusionInpaintPipeline",
        architecture(condition_channels=5),
        {},
        {"image": IMAGE, "mask_image": MASK},
    ),
    "instructions": (
        "StableDiffusionInstructPix2PixPipeline",
        architecture(condition_channels=4),
        {},
        {"image": IMAGE},
    ),
    "controlnet": (
        "StableDiffusionControlNetPipeline",
        architecture(),
        {"controlnet": controlnet},
        {"image": IMAGE},
    ),
    "adapter": ("StableDiffusionAdapterPipeline", architecture(), {"adapter": adapter}, {"image": IMAGE}),
    "few steps": ("LatentConsistencyModelPipeline", architecture(guidance_width=32), {}, {}),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_stock_pipeline_gives_the_same_images(name: str) -> None:
    kind, a, more, call = PIPELINES[name]
    ours = shaken(UNet(a))
    peer = diffusers.UNet2DConditionModel.from_config(diffusers_config(a)).eval()
    peer.load_state_dict({diffusers_name(key): tensor for key, tensor in ours.state_dict().items()})
    assert isinstance(ours, UNet)
    beside = parts(a) | {key: make() for key, make in more.items()}
    if name == "few steps":
        beside["scheduler"] = diffusers.LCMScheduler()
    images = []
    for unet in (PipelineUNet.wrapping(ours), peer):
        pipeline = getattr(diffusers, kind)(
            unet=unet, **beside, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
        pipeline.set_progress_bar_config(disable=True)
        size = {} if name in ("image", "instructions") else {"height": SIZE, "width": SIZE}
        made = pipeline(
            "a red circle", num_inference_steps=3, generator=torch.Generator().manual_seed(1),
            output_type="np", **size, **call,
        )  # fmt: skip
        images.append(made.images)
    assert images[0].shape == (1, SIZE, SIZE, 3) and images[0].std() > 0
    assert np.abs(images[0] - images[1]).max() < 1e-3

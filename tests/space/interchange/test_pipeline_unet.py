"""Any architecture runs as the UNet of diffusers' own pipelines, unmodified, from its folder."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from space.architecture import Architecture, Level
from space.interchange.checkpoints import diffusers_name, load, save
from space.interchange.diffusers_config import diffusers_config
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from space.unet import UNet

LEVELS = (
    Level(16, "full", (0,), (0, 0)),
    Level(32, "full", (1,), (1, 1), cross_attention=True),
    Level(48, "separable", (1, 2), (2, 1, 1), self_attention=True, cross_attention=True),
)
FOUND = Architecture(
    LEVELS, latent_size=8, norm_groups=8, head_width=16, time_width=32, context_width=24, context_length=12
)  # MD's pattern, 8 latent channels: no diffusers layout expresses it
SDXL_LIKE = Architecture(
    tuple(Level(width, "full", (n,), (n, n), n > 0, n > 0) for width, n in ((16, 0), (32, 2))),
    feed_forward_ratio=4,
    activation="gelu",
    shared_key_value=False,
    head_width=8,
    norm_groups=8,
    stack_projection="linear",
    latent_channels=4,
    latent_size=8,
    context_width=24,
    pooled_width=20,
    size_embeddings=6,
)


def randomised(architecture: Architecture) -> UNet:
    torch.manual_seed(0)
    unet = UNet(architecture)
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
    return unet.eval()


def parts(architecture: Architecture) -> dict[str, Any]:
    """A tiny VAE, tokenizer and text encoder with random weights; nothing is downloaded."""
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=architecture.context_width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=architecture.context_length,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    vocabulary = {word: number for number, word in enumerate(words)}
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=architecture.latent_channels,
        norm_num_groups=4,
    )
    return {
        "vae": vae.eval(),
        "text_encoder": CLIPTextModel(text).eval(),
        "tokenizer": CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=architecture.context_length),
        "scheduler": DDIMScheduler(steps_offset=1, clip_sample=False),
    }


def stable_diffusion(unet: torch.nn.Module, architecture: Architecture) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline(
        unet=unet,
        **parts(architecture),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generated(pipeline: Any, **arguments: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(3)
    settings = {"num_inference_steps": 2, "generator": generator, "output_type": "np"}
    return pipeline(**settings | arguments).images


def test_a_found_architecture_generates_in_an_unmodified_pipeline(tmp_path: Path) -> None:
    save(randomised(FOUND), tmp_path)
    unet = PipelineUNet.from_pretrained(tmp_path)
    assert unet.unet.architecture == FOUND
    pipeline = stable_diffusion(unet, FOUND)
    image = generated(pipeline, prompt="a red circle", guidance_scale=5.0)
    assert image.shape == (1, 16, 16, 3)  # sample_size 8, this VAE's factor 2
    assert np.isfinite(image).all() and image.std() > 0
    other = generated(pipeline, prompt="quite another thing", guidance_scale=5.0)
    assert not np.array_equal(image, other)  # the text arrives
    again = generated(
        stable_diffusion(PipelineUNet.wrapping(randomised(FOUND)), FOUND),
        prompt="a red circle",
        guidance_scale=5.0,
    )
    assert np.array_equal(image, again)


def test_a_pipeline_that_was_saved_loads_with_the_unet_from_its_folder(tmp_path: Path) -> None:
    pipeline = stable_diffusion(PipelineUNet.wrapping(randomised(FOUND)), FOUND)
    image = generated(pipeline, prompt="a")
    pipeline.save_pretrained(tmp_path)
    unet = PipelineUNet.from_pretrained(tmp_path / "unet")
    again = StableDiffusionPipeline.from_pretrained(tmp_path, unet=unet, safety_checker=None)
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(generated(again, prompt="a"), image)


def test_averaged_weights_save_and_load_by_diffusers(tmp_path: Path) -> None:
    from diffusers.training_utils import EMAModel

    unet = PipelineUNet.wrapping(randomised(FOUND))
    again = PipelineUNet.from_config(unet.config)
    assert again.unet.architecture == FOUND
    averaged = EMAModel(unet.parameters(), decay=0.5, model_cls=PipelineUNet, model_config=unet.config)
    with torch.no_grad():
        unet.unet.conv_in.weight.add_(1.0)
    averaged.step(unet.parameters())
    averaged.save_pretrained(tmp_path)
    loaded = EMAModel.from_pretrained(tmp_path, PipelineUNet)
    assert (loaded.decay, loaded.optimization_step) == (0.5, 1)
    assert all(map(torch.equal, loaded.shadow_params, averaged.shadow_params))
    by_diffusers = PipelineUNet.from_pretrained(tmp_path).unet
    assert torch.equal(load(tmp_path).conv_in.weight, by_diffusers.conv_in.weight)
    with pytest.raises(InputError, match="architecture: missing"):
        PipelineUNet.from_config({"in_channels": 4})


def test_a_pipeline_loads_with_trust_where_nobody_imported_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DiffusionPipeline
    from diffusers.utils import dynamic_modules_utils

    pipeline = stable_diffusion(PipelineUNet.wrapping(randomised(FOUND)), FOUND)
    pipeline.save_pretrained(tmp_path)
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.delitem(sys.modules, PipelineUNet.__module__)
    again = DiffusionPipeline.from_pretrained(tmp_path, trust_remote_code=True)
    again.set_progress_bar_config(disable=True)
    assert type(again.unet).__name__ == "PipelineUNet" and type(again.unet) is not PipelineUNet
    assert np.array_equal(generated(again, prompt="a"), generated(pipeline, prompt="a"))
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        DiffusionPipeline.from_pretrained(tmp_path)


def test_sdxls_pipeline_passes_its_sizes_and_pooled_text() -> None:
    """Through StableDiffusionXLPipeline, equal to diffusers' own UNet holding the same weights."""
    ours = randomised(SDXL_LIKE)
    peer = UNet2DConditionModel.from_config(diffusers_config(SDXL_LIKE)).eval()
    peer.load_state_dict({diffusers_name(name): tensor for name, tensor in ours.state_dict().items()})
    torch.manual_seed(2)
    text = {
        name: torch.randn(*shape)
        for name, shape in {
            "prompt_embeds": (1, 7, 24),
            "negative_prompt_embeds": (1, 7, 24),
            "pooled_prompt_embeds": (1, 20),
            "negative_pooled_prompt_embeds": (1, 20),
        }.items()
    }
    images = []
    for unet in (PipelineUNet.wrapping(ours), peer):
        made = parts(SDXL_LIKE)
        pipeline = StableDiffusionXLPipeline(
            vae=made["vae"],
            scheduler=made["scheduler"],
            unet=unet,
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        images.append(generated(pipeline, **text, height=16, width=16))
    assert images[0].std() > 0
    assert np.abs(images[0] - images[1]).max() < 1e-4


def test_what_our_networks_have_no_place_for_is_refused() -> None:
    unet = PipelineUNet.wrapping(randomised(FOUND))
    latents, context = torch.zeros(1, 8, 8, 8), torch.zeros(1, 12, 24)
    for name in ("encoder_attention_mask", "attention_mask", "class_labels", "something_new"):
        with pytest.raises(InputError, match=f"{name}: not supported by PipelineUNet"):
            unet(latents, 3, context, **{name: torch.zeros(1)})
    for name in ("image_embeds", "hint", "something_new"):
        with pytest.raises(InputError, match=rf"added_cond_kwargs.{name}: not supported by PipelineUNet"):
            unet(latents, 3, context, added_cond_kwargs={name: torch.zeros(1)})
    with pytest.raises(InputError, match=r"pooled: 20 .* takes 0"):
        unet(latents, 3, context, added_cond_kwargs={"text_embeds": torch.zeros(1, 20)})
    assert unet(latents, 3, context, cross_attention_kwargs={}, return_dict=False)[0].shape == latents.shape


def test_dtype_follows_the_pipeline() -> None:
    unet = PipelineUNet.wrapping(randomised(FOUND)).to(torch.bfloat16)
    assert unet.dtype == torch.bfloat16
    latents, context = torch.zeros(1, 8, 8, 8).bfloat16(), torch.zeros(1, 12, 24).bfloat16()
    assert unet(latents, torch.tensor(3), context).sample.dtype == torch.bfloat16

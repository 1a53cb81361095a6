"""diffusers' UNets of several layouts, and what they and ours make of the same input."""

from typing import Any

import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.unet import UNet

SDXL_TYPES = {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
SDXL_ADDED = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
FULL_SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
FULL_SDXL: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "projection_class_embeddings_input_dim": 2816,
    **SDXL_TYPES,
    **SDXL_ADDED,
}
NARROW = {"sample_size": 16, "norm_num_groups": 8, "cross_attention_dim": 24}
LAYOUTS: dict[str, dict[str, Any]] = {
    "sd15": NARROW | {"block_out_channels": [16, 32, 64, 64], "attention_head_dim": 8},
    "sdxl": NARROW
    | FULL_SDXL
    | {
        "sample_size": 16,
        "block_out_channels": [16, 32, 64],
        "cross_attention_dim": 24,
        "attention_head_dim": [2, 4, 8],
        "transformer_layers_per_block": [1, 2, 3],
        "projection_class_embeddings_input_dim": 1280 + 6 * 256,
    },
    "uneven": NARROW  # blocks a level, layers a block and a side all differ; no middle
    | {
        "block_out_channels": [16, 32],
        "layers_per_block": [1, 2],
        "attention_head_dim": [2, 4],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "mid_block_type": None,
        "transformer_layers_per_block": [1, [2, 1]],
        "reverse_transformer_layers_per_block": [[1, 2, 3], [2, 1]],
        "time_embedding_dim": 48,
    },
    "inpainting": NARROW  # mask and masked image beside the noise; a distilled guidance scale
    | {
        "block_out_channels": [16, 32],
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "in_channels": 9,
        "time_cond_proj_dim": 12,
    },
    "plain": NARROW  # no transformer anywhere, and a middle of one conv block
    | {
        "block_out_channels": [16, 32],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D"] * 2,
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ["UpBlock2D"] * 2,
    },
}


def shaken(model: nn.Module) -> nn.Module:
    """No parameter at a value that could hide a mistake (a norm's ones, a bias's zeros)."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model.eval()


def inputs(a: Architecture, batch: int = 2, size: tuple[int, int] | None = None) -> dict[str, Tensor | None]:
    torch.manual_seed(1)
    return {
        "latents": torch.randn(batch, a.input_channels, *(size or (a.latent_size, a.latent_size))),
        "timesteps": torch.tensor([999, 3])[:batch],
        "context": torch.randn(batch, 7, a.context_width),
        "pooled": torch.randn(batch, a.pooled_width) if a.pooled_width else None,
        "sizes": torch.randint(0, 1024, (batch, a.size_embeddings)) if a.size_embeddings else None,
        "guidance": torch.randn(batch, a.guidance_width) if a.guidance_width else None,
    }


@torch.no_grad()
def theirs(model: nn.Module, given: dict[str, Tensor | None]) -> Tensor:
    added: dict[str, Any] | None = {"text_embeds": given["pooled"], "time_ids": given["sizes"]}
    arguments = given["latents"], given["timesteps"], given["context"]
    if given["pooled"] is None:
        added = None
    return model(*arguments, added_cond_kwargs=added, timestep_cond=given["guidance"]).sample


@torch.no_grad()
def ours(unet: UNet, given: dict[str, Tensor | None]) -> Tensor:
    return unet.eval()(**given)

"""Where a latent pixel is: two channels that a network may read beside the latents."""

from __future__ import annotations

import torch
from torch import Tensor

COORDINATES = 2  # channels: across and down


def with_coordinates(latents: Tensor, conditions: int = 0) -> Tensor:
    """(B, C, H, W) latents to (B, C + 2, H, W): from -1 to 1 across and down; behind them the last channels
    of `latents`, so many, which are conditions (inpainting's)."""
    batch, _, height, width = latents.shape
    down, across = (torch.linspace(-1, 1, n, device=latents.device) for n in (height, width))
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"))
    beside = grid.to(latents.dtype).expand(batch, COORDINATES, height, width)
    if not conditions:
        return torch.cat([latents, beside], dim=1)
    return torch.cat([latents[:, :-conditions], beside, latents[:, -conditions:]], dim=1)

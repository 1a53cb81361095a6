"""Where a latent pixel is: two channels that a network may read beside the latents."""

from __future__ import annotations

import torch
from torch import Tensor

COORDINATES = 2  # channels: across and down


def with_coordinates(latents: Tensor, conditions: int = 0) -> Tensor:
    """(B, C, H, W) latents to (B, C + 2, H, W): from -1 to 1 across and down; behind them the last channels
    of `latents`, so many, which are conditions (inpainting's)."""
    batch, _, height, width = latents.shape
    grid = coordinate_grid(height, width, latents.device).to(latents.dtype)
    return beside_latents(latents, grid.expand(batch, COORDINATES, height, width), conditions)


def coordinate_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(2, H, W)."""
    down, across = (torch.linspace(-1, 1, n, device=device) for n in (height, width))
    return torch.stack(torch.meshgrid(across, down, indexing="xy"))


def beside_latents(latents: Tensor, beside: Tensor, conditions: int) -> Tensor:
    """Coordinates, (B, 2, H, W), between latents and conditions."""
    if not conditions:
        return torch.cat([latents, beside], dim=1)
    return torch.cat([latents[:, :-conditions], beside, latents[:, -conditions:]], dim=1)

"""A guidance scale as a vector, for networks that are told it (LCM)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def guidance_embedding(guidance: Tensor, width: int) -> Tensor:
    """(B,) scales to (B, width), as pipelines of diffusers embed them.

    A scale g is empty + g (conditional - empty). The papers' w is g - 1, and stands in the embedding.
    """
    half = width // 2
    places = torch.arange(half, dtype=torch.float32, device=guidance.device)
    frequencies = torch.exp(places * (-math.log(10_000.0) / (half - 1)))
    angle = ((guidance.float() - 1) * 1000)[:, None] * frequencies
    embedding = torch.cat([angle.sin(), angle.cos()], dim=1)
    return torch.nn.functional.pad(embedding, (0, width % 2))

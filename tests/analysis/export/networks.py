"""Small networks that are exported in a second or two, and what they predict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from analysis.export.checks import Bits
from analysis.export.components import Component
from space.architecture import Architecture, Level, Middle

MD_LIKE = Architecture(
    (
        Level(8, "full", (0,), (0, 0)),
        Level(16, "separable", (1,), (1, 0), self_attention=True, cross_attention=True),
    ),
    head_width=None, heads=2, norm_groups=4, time_width=16,
    latent_channels=4, latent_size=8, context_length=10, context_width=16,
)  # fmt: skip
SDXL_LIKE = Architecture(
    (Level(8, "full", (0,), (0, 0)),),
    middle=Middle((1,), self_attention=True, cross_attention=True),
    activation="gelu", attention="relu", shared_key_value=False, stack_projection="linear",
    head_width=4, norm_groups=4, time_width=12, latent_channels=4, latent_size=4,
    context_length=5, context_width=6,
    condition_channels=3, guidance_width=5, pooled_width=7, size_embeddings=2,
)  # fmt: skip


class InTorch:
    """In the place of a format: what is "written" is kept, and runs here with a weight changed by `wrong`."""

    def __init__(self, damaged: torch.nn.Parameter | None = None, wrong: float = 0.0) -> None:
        self.damaged, self.wrong = damaged, wrong
        self.written: dict[Path, Component] = {}

    def write(self, component: Component, path: Path, precision: Bits) -> None:
        path.write_text(precision)
        self.written[path] = component

    def run(self, path: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        module = self.written[path].module
        if self.damaged is not None:
            self.damaged.data += self.wrong
        with torch.no_grad():
            made = module(*map(torch.from_numpy, inputs.values()))
        if self.damaged is not None:
            self.damaged.data -= self.wrong
        return [tensor.numpy() for tensor in ([made] if isinstance(made, torch.Tensor) else made)]

"""All that decides generated images, beside the model, the captions and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from space.shared.plain import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class GenerationSettings:
    """Stands in the manifest of the samples."""

    count: int
    image_size_px: int
    steps: int
    guidance: float  # 1 leaves the caption alone, more follows it closer
    # Of a pipeline any scheduler that it can have, such as EulerDiscrete; scheduler= on a command line, where
    # sampler= is a search's.
    sampler: str = "ddim"
    seed: int = 0
    batch_size: int = 64
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    threads: int = 1  # of a worker, on a CPU

    def __post_init__(self) -> None:
        for name in ("count", "image_size_px", "steps", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not possible; allowed: 0 or more")
        if not 1 <= self.guidance < float("inf"):
            raise InputError(f"guidance: {self.guidance:g} is not possible; allowed: 1 or more")

"""DDIM whose noise belongs to the clipped prediction, in pipelines that never ask a scheduler for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    SchedulerMixin,  # noqa: F401  # diffusers looks for it beside a class of ours
)
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput
from torch import Tensor

from space.interchange.checkpoints import write_class


class ClippedDDIMScheduler(DDIMScheduler):
    """`DDIMScheduler` but for a default of `step`.

    `StableDiffusionPipeline` turns `clip_sample` off; `thresholding` with `sample_max_value` 1 clips too.
    """

    def step(
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = True,
        generator: torch.Generator | None = None,
        variance_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[Tensor]:
        return super().step(  # type: ignore[misc]
            model_output,
            timestep,
            sample,
            eta,
            use_clipped_model_output,
            generator,
            variance_noise,
            return_dict,
        )

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **kwargs: Any) -> None:
        """As diffusers does, and the file by which a pipeline finds this class."""
        super().save_pretrained(save_directory, *arguments, **kwargs)  # type: ignore[misc]
        write_class(save_directory, type(self).__module__, type(self).__name__)

"""The scheduler of networks that predict clean latents from noise alone, for stock pipelines of diffusers.

One step is their prediction. In more, it is noised again in between by the forward process (UFOGen, Xu et
al., 2023), at timesteps evenly apart from the last one on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    SchedulerMixin,  # noqa: F401  # diffusers looks for it beside a class of ours
)
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from space.interchange.checkpoints import write_class


class OneStepScheduler(DDIMScheduler):
    """`DDIMScheduler` in noise levels, prediction, clipping and timesteps, but for its `step`."""

    timesteps: Tensor

    def step(
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        generator: torch.Generator | list[torch.Generator] | None = None,
        variance_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[Tensor, Tensor]:
        """Noise comes from `generator`, one or one for each image; `eta` has no effect."""
        clean = super().step(model_output, timestep, sample).pred_original_sample  # type: ignore[misc]
        latents, following = clean, self._following(int(timestep))
        if following is not None:
            noise = variance_noise
            if noise is None:
                noise = randn_tensor(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
            level = torch.tensor([following], device=clean.device)
            latents = self.add_noise(clean, noise, level)  # type: ignore[attr-defined]
        return DDIMSchedulerOutput(latents, clean) if return_dict else (latents, clean)

    def _following(self, timestep: int) -> int | None:
        """The next of the timesteps; None behind the last."""
        timesteps = self.timesteps.tolist()
        place = timesteps.index(timestep) + 1
        return timesteps[place] if place < len(timesteps) else None

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **kwargs: Any) -> None:
        """As diffusers does, and the file by which a pipeline finds this class."""
        super().save_pretrained(save_directory, *arguments, **kwargs)  # type: ignore[misc]
        write_class(save_directory, type(self).__module__, type(self).__name__)

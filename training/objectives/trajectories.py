"""From noise level to noise level by what a network predicts: what distillations take from their teachers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from training.diffusion import Diffusion


def grid(diffusion: Diffusion, steps: int) -> dict[int, int]:
    """The timesteps of so many sampling steps, and the level that each leads to; -1 is clean."""
    timesteps, following = diffusion.trailing(steps)
    if diffusion.settings.sampler == "euler":
        return following
    return reached_from(diffusion, steps, timesteps.tolist())


def reached_from(diffusion: Diffusion, steps: int, timesteps: Iterable[int]) -> dict[int, int]:
    """Timesteps, and where one of so many steps leads from each, as diffusers' DDIM has it."""
    apart = diffusion.settings.timesteps // steps
    return {timestep: max(timestep - apart, -1) for timestep in timesteps}


def paths(diffusion: Diffusion, steps: int, teacher_steps: int) -> Tensor:
    """(steps, longest + 1) levels by which a teacher goes from each timestep of the grid to where one step of
    the grid leads: by way of all timesteps of its own grid in between. Shorter ones stay at their end."""
    own = sorted(grid(diffusion, teacher_steps), reverse=True)
    found = [
        [start, *(level for level in own if end < level < start), end]
        for start, end in grid(diffusion, steps).items()
    ]
    longest = max(map(len, found))
    return torch.tensor([path + path[-1:] * (longest - len(path)) for path in found])


def stepped(diffusion: Diffusion, clean: Tensor, noisy: Tensor, timesteps: Tensor, reached: Tensor) -> Tensor:
    """x at the (B,) levels `reached`, by a step of DDIM or of Euler's from x_t; x_t where they are equal."""
    signal, spread = diffusion.levels(timesteps)
    noise = (noisy - signal * clean) / spread.clamp(min=1e-12)
    stays = (timesteps == reached).view(-1, 1, 1, 1)
    return torch.where(stays, noisy, diffusion.noised(clean, noise, reached))


def implied(diffusion: Diffusion, noisy: Tensor, timesteps: Tensor, other: Tensor, reached: Tensor) -> Tensor:
    """The x0 by which one step leads from x_t to the `other` x, at the levels `reached` (Salimans & Ho,
    2022)."""
    signal, spread = diffusion.levels(timesteps)
    signal_there, spread_there = diffusion.levels(reached)
    share = spread_there / spread
    return (other - share * noisy) / (signal_there - share * signal)

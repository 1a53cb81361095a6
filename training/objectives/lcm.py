"""Latent consistency (Luo et al., 2023): wherever a path of the guided teacher is, the same clean latents.

A step of the teacher's DDIM with guidance leads from x_t to x_s; what the student makes of x_t is to be what
it makes of x_s. It is told the guidance scale, so one pass does what guidance needs two for. Scales here are
the usual ones, empty + g (conditional - empty); the paper's w is g - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from space.shared.plain import InputError
from space.shared.seeds import generator
from training.data.dataset import Dataset
from training.model import Model, ModelSettings
from training.objectives.diffusion import DiffusionBatch
from training.objectives.steps import check_range, check_schedule, check_width, nearest_within
from training.objectives.student import Sampled, StudentObjective, StudentSettings
from training.objectives.trajectories import grid, reached_from, stepped
from training.settings import TrainingSettings


@dataclass(frozen=True)
class LcmSettings(StudentSettings):
    """The fields of conf/objective/lcm.yaml."""

    name: Literal["lcm"] = "lcm"
    sampling_steps: int = 4
    teacher_steps: int = 50
    cfg_range: tuple[float, ...] = (6.0, 16.0)
    guidance: float | None = None
    w_conditioned: bool = True
    embedding_width: int = 256
    timestep_scaling: float = 10.0
    sigma_data: float = 0.5
    huber: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sampling_steps", "teacher_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        for name in ("timestep_scaling", "sigma_data", "huber"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}: {getattr(self, name):g} is not possible; allowed: above 0")
        check_range("cfg_range", self.cfg_range)
        check_width(self.embedding_width)
        low, high = self.cfg_range
        if self.guidance is not None and not low <= self.guidance <= high:
            raise InputError(
                f"guidance: {self.guidance:g} is not possible; allowed: {low:g} to {high:g} (cfg_range)"
            )

    @property
    def guidance_width(self) -> int:
        return self.embedding_width if self.w_conditioned else 0

    @property
    def guides(self) -> bool:
        return True

    @property
    def always_guides(self) -> bool:
        return True

    def check(self, base: ModelSettings) -> None:
        super().check(base)
        check_schedule(base, self.teacher_steps)

    def without_effect(self) -> dict[str, str]:
        untold = dict.fromkeys(("embedding_width", "guidance"), "w_conditioned=false")
        return super().without_effect() | ({} if self.w_conditioned else untold)

    def sampled(self, base: ModelSettings) -> Sampled:
        """A scale that it has learnt, the nearest to the base's; 1 where it is told none: it is inside."""
        scale = nearest_within(self.cfg_range, base.guidance) if self.guidance is None else self.guidance
        return Sampled(self.sampling_steps, scale if self.w_conditioned else 1.0)

    def make(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, teacher: Model
    ) -> LcmObjective:
        return LcmObjective(model, data, settings, seed, self, teacher)


class LcmBatch(NamedTuple):
    """What one step learns from."""

    data: DiffusionBatch
    guidance: Tensor  # (B,)


class LcmObjective(StudentObjective[LcmBatch]):
    """A student that is consistent along its teacher's paths; its target is itself, as it is."""

    name: ClassVar[str] = "lcm"

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: TrainingSettings,
        seed: int,
        own: LcmSettings,
        teacher: Model,
    ) -> None:
        model.settings = replace(model.settings, one_step=True)
        super().__init__(model, data, settings, seed, own)
        self.own, self.teacher = own, teacher.requires_grad_(False)
        steps = model.diffusion.trailing(own.sampling_steps)[0].tolist()
        pairs = reached_from(model.diffusion, own.teacher_steps, steps) | grid(
            model.diffusion, own.teacher_steps
        )
        self.steps = torch.tensor(sorted(pairs.items(), reverse=True), device=model.device)

    def batch(self, step: int, rows: range | None = None) -> LcmBatch:
        data = self.diffusion.batch(step, rows)
        drawn, (low, high) = generator("lcm", self.seed, step), self.own.cfg_range
        guidance = low + (high - low) * torch.rand(self.settings.batch_size, generator=drawn)
        part = slice(None) if rows is None else slice(rows.start, rows.stop)
        index = data.timesteps * len(self.steps) // self.settings.diffusion.timesteps
        data = data._replace(timesteps=self.steps.flip(0)[index, 0])
        return LcmBatch(data, guidance[part].to(self.model.device))

    def loss(self, part: str, batch: LcmBatch) -> Tensor:
        latents, context = self.read(batch.data)
        timesteps, guidance = batch.data.timesteps, batch.guidance
        noisy = self.model.diffusion.add_noise(latents, batch.data.noise, timesteps)
        ours = self.consistent(noisy, timesteps, context, guidance)
        with torch.no_grad():
            index = (self.steps[:, 0] == timesteps[:, None]).float().argmax(dim=1)
            reached = self.steps[index, 1]
            clean = self.guided(self.teacher, noisy, timesteps, context, guidance)
            earlier = stepped(self.model.diffusion, clean, noisy, timesteps, reached)
            target = self.consistent(earlier, reached, context, guidance)
        c = self.own.huber
        return (((ours - target).square() + c**2).sqrt() - c).mean()

    def consistent(self, x: Tensor, timesteps: Tensor, context: Tensor, guidance: Tensor) -> Tensor:
        """f(x, t) = c_skip x + c_out x0, which is x itself where it is clean."""
        data, scaled = (
            self.own.sigma_data,
            (timesteps.clamp(min=0) * self.own.timestep_scaling).view(-1, 1, 1, 1),
        )
        whole = scaled.square() + data**2
        skip, out = data**2 / whole, scaled / whole.sqrt()
        clean = self.clean(self.model, x, timesteps.clamp(min=0), context, guidance)
        return skip * x + out * clean

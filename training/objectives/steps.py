"""Fewer steps from a teacher of more: SnapFusion's step distillation (Li et al., 2023; Salimans & Ho, 2022).

A step of the student is to lead where some of the teacher's lead. The error is that of v, whatever a network
predicts: |v - v'|^2 = |x0 - x0'|^2 / s_t^2. In some training steps it is that of guided predictions, both
with one guidance scale. The same error against data is a part, unless the student is told the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from space.shared.plain import InputError
from space.shared.seeds import generator
from training.data.dataset import Dataset
from training.model import Model, ModelSettings
from training.objectives.diffusion import DiffusionBatch
from training.objectives.student import Sampled, StudentObjective, StudentSettings
from training.objectives.trajectories import implied, paths, stepped
from training.settings import TrainingSettings


@dataclass(frozen=True)
class StepsSettings(StudentSettings):
    """The fields of conf/objective/steps.yaml."""

    name: Literal["steps"] = "steps"
    sampling_steps: int = 8
    teacher_steps: int = 16
    cfg_probability: float = 0.1
    cfg_range: tuple[float, ...] = (2.0, 14.0)
    original_weight: float = 0.2
    w_conditioned: bool = False
    embedding_width: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_steps < 1:
            raise InputError(f"sampling_steps: {self.sampling_steps} is not possible; allowed: 1 or more")
        if self.teacher_steps < self.sampling_steps:
            raise InputError(
                f"teacher_steps: {self.teacher_steps} is not possible; allowed: {self.sampling_steps} "
                "(sampling_steps) or more"
            )
        if not 0 <= self.cfg_probability <= 1:
            raise InputError(f"cfg_probability: {self.cfg_probability:g} is not possible; allowed: 0 to 1")
        if not 0 <= self.original_weight < inf:
            raise InputError(
                f"original_weight: {self.original_weight:g} is not possible; allowed: 0 or more, finite"
            )
        check_range("cfg_range", self.cfg_range)
        check_width(self.embedding_width)

    @property
    def guidance_width(self) -> int:
        return self.embedding_width if self.w_conditioned else 0

    @property
    def guides(self) -> bool:
        return self.w_conditioned or self.cfg_probability > 0

    @property
    def always_guides(self) -> bool:
        return self.w_conditioned

    def check(self, base: ModelSettings) -> None:
        super().check(base)
        check_schedule(base, self.teacher_steps)

    def without_effect(self) -> dict[str, str]:
        told = {"cfg_probability": "w_conditioned=true", "original_weight": "w_conditioned=true"}
        untold = {"embedding_width": "w_conditioned=false"}
        if self.cfg_probability == 0:
            untold["cfg_range"] = "cfg_probability=0"
        return super().without_effect() | (told if self.w_conditioned else untold)

    def sampled(self, base: ModelSettings) -> Sampled:
        """Where it is told the scale, by the nearest to the base's that it has learnt."""
        guidance = nearest_within(self.cfg_range, base.guidance) if self.w_conditioned else base.guidance
        return Sampled(self.sampling_steps, guidance)

    def make(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, teacher: Model
    ) -> StepsObjective:
        return StepsObjective(model, data, settings, seed, self, teacher)


def check_range(name: str, values: tuple[float, ...]) -> None:
    """Of guidance scales. Raises InputError."""
    if len(values) != 2 or not 1 <= values[0] <= values[1] < float("inf"):
        raise InputError(f"{name}: {list(values)} is not possible; allowed: two numbers, 1 or more, in order")


def nearest_within(scales: tuple[float, ...], scale: float) -> float:
    return min(max(scale, scales[0]), scales[1])


def check_width(width: int) -> None:
    if width < 4:
        raise InputError(f"embedding_width: {width} is not possible; allowed: 4 or more")


class StepsBatch(NamedTuple):
    """What one step learns from."""

    data: DiffusionBatch
    guidance: Tensor  # (B,)
    is_guided: Tensor  # whether this step's error is that of guided predictions


class StepsObjective(StudentObjective[StepsBatch]):
    """A student whose steps each do several of its teacher's."""

    name: ClassVar[str] = "steps"

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: TrainingSettings,
        seed: int,
        own: StepsSettings,
        teacher: Model,
    ) -> None:
        super().__init__(model, data, settings, seed, own)
        self.own, self.teacher = own, teacher.requires_grad_(False)
        self.paths = paths(model.diffusion, own.sampling_steps, own.teacher_steps).to(model.device)

    def batch(self, step: int, rows: range | None = None) -> StepsBatch:
        own, data = self.own, self.diffusion.batch(step, rows)
        drawn = generator("steps", self.seed, step)
        is_guided = bool(torch.rand((), generator=drawn) < own.cfg_probability)
        size, timesteps = self.settings.batch_size, self.settings.diffusion.timesteps
        low, high = own.cfg_range
        guidance = low + (high - low) * torch.rand(size, generator=drawn)
        part = slice(None) if rows is None else slice(rows.start, rows.stop)
        index = data.timesteps * len(self.paths) // timesteps
        data = data._replace(timesteps=self.paths.flip(0)[index, 0])
        return StepsBatch(data, guidance[part].to(self.model.device), torch.tensor(is_guided))

    def loss(self, part: str, batch: StepsBatch) -> Tensor:
        latents, context = self.read(batch.data)
        timesteps, diffusion = batch.data.timesteps, self.model.diffusion
        noisy = diffusion.add_noise(latents, batch.data.noise, timesteps)
        is_guided = self.own.w_conditioned or bool(batch.is_guided)
        guidance = batch.guidance if is_guided else None
        target = self.taught(noisy, timesteps, context, guidance)
        _, spread = diffusion.levels(timesteps)
        if self.own.w_conditioned:
            clean = self.clean(self.model, noisy, timesteps, context, guidance)
            return ((clean - target) / spread).square().mean()
        clean, guided = self.both(self.model, noisy, timesteps, context, guidance)
        distilled = ((guided - target) / spread).square().mean()
        original = ((clean - latents) / spread).square().mean()
        return distilled + self.own.original_weight * original

    @torch.no_grad()
    def taught(self, noisy: Tensor, timesteps: Tensor, context: Tensor, guidance: Tensor | None) -> Tensor:
        """The x0 by which one step goes where the teacher's steps lead."""
        index = (self.paths[:, 0] == timesteps[:, None]).float().argmax(dim=1)
        path, x = self.paths[index], noisy
        for here, there in zip(path.T[:-1], path.T[1:], strict=True):
            clean = self.guided(self.teacher, x, here.clamp(min=0), context, guidance)
            x = stepped(self.model.diffusion, clean, x, here, there)
        return implied(self.model.diffusion, noisy, timesteps, x, path[:, -1])


def check_schedule(base: ModelSettings, steps: int) -> None:
    """Raises InputError for more steps than there are timesteps."""
    most = base.diffusion.timesteps
    if steps > most:
        raise InputError(
            f"objective.teacher_steps: {steps} is not possible; allowed: at most {most}, the base's timesteps"
        )

"""The loss that a diffusion model learnt by, for an adapter of it: the model itself stays as it is."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from space.shared.seeds import generator
from training.adapter_kinds import AdapterKind
from training.data.dataset import Dataset
from training.devices import moved
from training.model import Model
from training.objectives.diffusion import DiffusionBatch
from training.objectives.student import StudentObjective
from training.settings import TrainingSettings


class AdapterBatch(NamedTuple):
    """What one step learns from."""

    data: DiffusionBatch
    drawn: Tensor  # what was decided of the images ahead: edges, masks; empty: nothing


class AdapterObjective(StudentObjective[AdapterBatch]):
    """An adapter learns what its condition says of the images."""

    name: ClassVar[str] = "adapter"

    def __init__(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, own: AdapterKind
    ) -> None:
        super().__init__(model, data, settings, seed, own)
        self.own = own

    def batch(self, step: int, rows: range | None = None) -> AdapterBatch:
        data, size = self.diffusion.batch(step, rows), self.settings.batch_size
        part = range(size) if rows is None else rows
        if self.own.timesteps == "cubic":
            drawn = generator("adapter timesteps", self.seed, step)
            timesteps = cubic(torch.rand(size, generator=drawn), self.settings.diffusion.timesteps)
            data = data._replace(timesteps=moved(timesteps[part.start : part.stop], self.model.device))
        chances = generator("adapter", self.seed, step)
        return AdapterBatch(data, self._drawn(data.images, chances, part, size))

    def loss(self, part: str, batch: AdapterBatch) -> Tensor:
        return self._losses(self.model, batch.data, batch.drawn).mean()

    def validation_loss(self, model: Model) -> float:
        """At evenly spread timesteps, whatever those of the training, which decide the masks, too."""

        def losses(model: Model, data: DiffusionBatch) -> Tensor:
            each = [
                self._drawn(image[None], generator("validation of an adapter", timestep), range(1), 1)
                for image, timestep in zip(data.images, data.timesteps.tolist(), strict=True)
            ]
            return self._losses(model, data, torch.cat(each))

        return self.diffusion.mean_held_out(model, losses)

    def _drawn(self, images: Tensor, chances: torch.Generator, rows: range, size: int) -> Tensor:
        if not self.own.sees_images:
            return torch.empty(0)
        return moved(self.own.drawn(images.cpu(), chances, rows, size), self.model.device)

    def _losses(self, model: Model, data: DiffusionBatch, drawn: Tensor) -> Tensor:
        """(B,): of each image."""
        latents, context = self.read(data)
        noisy = model.diffusion.add_noise(latents, data.noise, data.timesteps)
        told = {"condition": self.own.condition(model, data.images, drawn)} if self.own.sees_images else {}
        with self.autocast():
            prediction = model(noisy, data.timesteps, context, **told)
        return model.diffusion.losses(prediction, latents, data.noise, data.timesteps)


def cubic(chances: Tensor, timesteps: int) -> Tensor:
    """(B,) numbers from 0 to 1 as timesteps, most of them late: t = (1 - u^3) T (Mou et al., 2023)."""
    return ((1 - chances.double() ** 3) * timesteps).long().clamp(0, timesteps - 1)

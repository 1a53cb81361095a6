"""Learning to take noise away with weights that many architectures share: at each step one of them."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from space.architecture import Architecture
from space.paths import Paths
from space.subnet import Subnet
from space.supernet import Supernet
from training.data.dataset import Dataset
from training.model import Model
from training.objectives.base import TrainingObjective
from training.objectives.by_timestep import ByTimestep
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.settings import TrainingSettings


class SupernetBatch(NamedTuple):
    """What one step learns from, and which step it is."""

    data: DiffusionBatch
    step: Tensor


class SupernetObjective(TrainingObjective[SupernetBatch, Model]):
    """The loss of a training by itself, on one path at a time.

    The model's network is a `Supernet`; batches, noise and validation are the diffusion objective's.
    """

    name: ClassVar[str] = "supernet"

    def __init__(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, paths: Paths
    ) -> None:
        self.model, self.seed, self.paths = model, seed, paths
        self.diffusion = DiffusionObjective(model, data, settings, seed)
        self.parts = self.diffusion.parts

    def batch(self, step: int, rows: range | None = None) -> SupernetBatch:
        return SupernetBatch(self.diffusion.batch(step, rows), torch.tensor(step))

    def loss(self, part: str, batch: SupernetBatch) -> Tensor:
        supernet_of(self.model).choose(self.sampled(int(batch.step)))
        return self.diffusion.loss(part, batch.data)

    def by_timestep(self) -> ByTimestep | None:
        return self.diffusion.by_timestep()

    def validation_loss(self, model: Model) -> float:
        """Of the architecture that was chosen last."""
        return self.diffusion.validation_loss(model)

    def sampled(self, step: int) -> Architecture | Subnet:
        """What step number `step` trains, at the paper's scale."""
        return self.paths.at(self.seed, step)


def supernet_of(model: Model) -> Supernet:
    assert isinstance(model.unet, Supernet)
    return model.unet

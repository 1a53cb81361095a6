"""Learning to take noise away with the weights of a whole space: at each step one architecture of it."""

from __future__ import annotations

import random
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space, UniformSuggestions
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed
from space.supernet import Supernet
from training.data.dataset import Dataset
from training.model import Model
from training.objectives.base import TrainingObjective
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.settings import TrainingSettings

MOST_SAMPLES = 20_000  # of one step, before it is said that too little of the space fits


class SupernetBatch(NamedTuple):
    """What one step learns from, and which step it is."""

    data: DiffusionBatch
    step: Tensor


class SupernetObjective(TrainingObjective[SupernetBatch, Model]):
    """The loss of a training by itself, on one path at a time: each step's architecture is sampled uniformly
    from what fits the budget, by (seed, step) alone (Guo et al., 2020, single path one-shot).

    The model's network is a `Supernet`; batches, noise and validation are the diffusion objective's.
    """

    name: ClassVar[str] = "supernet"

    def __init__(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, space: Space, budget: Budget
    ) -> None:
        self.model, self.seed, self.space, self.budget = model, seed, space, budget
        self.diffusion = DiffusionObjective(model, data, settings, seed)
        self.parts = self.diffusion.parts

    def batch(self, step: int) -> SupernetBatch:
        return SupernetBatch(self.diffusion.batch(step), torch.tensor(step))

    def loss(self, part: str, batch: SupernetBatch) -> Tensor:
        supernet_of(self.model).choose(self.sampled(int(batch.step)))
        return self.diffusion.loss(part, batch.data)

    def validation_loss(self, model: Model) -> float:
        """Of the architecture that was chosen last."""
        return self.diffusion.validation_loss(model)

    def sampled(self, step: int) -> Architecture:
        """What step number `step` trains, at the paper's scale."""
        chance = random.Random(numbered_seed(self.seed, "supernet", step))
        for _ in range(MOST_SAMPLES):
            architecture = self.space.sample(UniformSuggestions(chance))
            if not self.budget.excess(architecture):
                return architecture
        raise InputError(
            f"budget: none of {MOST_SAMPLES:,} random architectures of the space fits, so that nothing can "
            "be trained for all; allowed: a wider budget, or a smaller space"
        )


def supernet_of(model: Model) -> Supernet:
    assert isinstance(model.unet, Supernet)
    return model.unet

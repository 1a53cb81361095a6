"""What an objective is: a loss from a batch, the modules that it trains, and their optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from training.objectives.by_timestep import ByTimestep

Batch = TypeVar("Batch")
Trained = TypeVar("Trained", bound=nn.Module)
DISCRIMINATOR = "discriminator"  # the part of an objective that judges what another one makes


@dataclass(frozen=True)
class TrainedPart:
    """Modules that one optimiser trains on a loss of their own.

    The optimiser holds the parameters of `module`, and is made with the learning rate that the schedule
    starts from.
    """

    module: nn.Module
    optimizer: Optimizer


class TrainingObjective(ABC, Generic[Batch, Trained]):
    """What training minimises.

    In each step the trainer takes the parts in turn: the loss of a part from the step's batch, its gradients,
    a step of its optimiser, and then the next part's. A generator and its discriminator are two parts; a
    teacher is none, and neither is anything else that stays as it is.

    A batch is a tensor or a (nested) tuple of tensors.

    Attributes:
        name: stands in the states that are saved.
        model: what the training is for, in a search what generates. A copy holds the mean of its weights.
        parts: what is trained, by name, `model` among it.
        total: the sum of a number over the workers that share each batch, with the same bits on each, which
            all call it at once. None: there is one worker.
    """

    name: ClassVar[str]
    model: Trained
    parts: Mapping[str, TrainedPart]
    total: Callable[[float], float] | None = None

    def turns(self, step: int) -> Sequence[str]:
        """The parts that step number `step` (from 0) trains, in order; the first one's loss is reported."""
        return tuple(self.parts)

    @abstractmethod
    def batch(self, step: int, rows: range | None = None) -> Batch:
        """These rows (None: all) of what step number `step` learns from, on the device. It is decided by the
        seed and the step alone, and the same however the batch is divided.

        It is made ahead of the step and in another thread, so nothing that training changes may be read.
        """

    @abstractmethod
    def loss(self, part: str, batch: Batch) -> Tensor:
        """What the optimiser of a part makes smaller, a scalar."""

    @abstractmethod
    def validation_loss(self, model: Trained) -> float:
        """Of held-out images by `model`, the same for every candidate and every seed."""

    def terms(self) -> Mapping[str, float]:
        """What the losses of the last step, or its last micro-batch, are made of: for the curve."""
        return {}

    def by_timestep(self) -> ByTimestep | None:
        """The losses since the last time by the timesteps that they are of; None: there are none."""
        return None

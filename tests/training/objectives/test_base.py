"""An objective of two parts with an optimiser each, as adversarial training has, is driven in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from space.architecture import Architecture
from tests.training.examples import load, save
from training.data.dataset import Dataset
from training.loop import TrainingLoop
from training.model import Model
from training.objectives.base import TrainedPart, TrainingObjective
from training.settings import TrainingSettings
from training.trainer import Trainer


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.opinion = nn.Parameter(torch.zeros(()))


class TwoParts(TrainingObjective[Tensor, Model]):
    """The critic c minimises (c - target)^2 / 2, and the generator c times the sum of its last biases."""

    name = "two-parts"
    momentum = 0.0

    def __init__(self, model: Model, data: Dataset, settings: TrainingSettings, seed: int) -> None:
        self.model, self.critic, self.asked = model, Critic(), list[str]()
        self.parts = {
            "critic": TrainedPart(self.critic, torch.optim.SGD(self.critic.parameters(), 0.5, self.momentum)),
            "generator": TrainedPart(model, torch.optim.SGD(model.parameters(), 0.1, self.momentum)),
        }

    def batch(self, step: int, rows: range | None = None) -> Tensor:
        return torch.tensor(3.0)

    def loss(self, part: str, batch: Tensor) -> Tensor:
        self.asked.append(part)
        if part == "critic":
            return (self.critic.opinion - batch).square() / 2
        return self.critic.opinion * self.biases.sum()

    def validation_loss(self, model: Model) -> float:
        return 0.0

    @property
    def biases(self) -> Tensor:
        biases = self.model.unet.conv_out.bias
        assert biases is not None
        return biases


class Alternating(TwoParts):
    def turns(self, step: int) -> Sequence[str]:
        return ["critic", "generator"][step % 2 :][:1]


class WithMomentum(TwoParts):
    momentum = 0.9


@pytest.fixture
def plain(settings: TrainingSettings) -> TrainingSettings:
    """No warm-up, and no gradient that is clipped."""
    return replace(settings, warmup_steps=0, gradient_clip=1e6)


def test_parts_step_in_turn_each_on_its_own_gradients(
    tiny: Architecture, scenes: Dataset, plain: TrainingSettings
) -> None:
    """c goes 0 -> 0 + 0.5 * 3 = 1.5 -> 1.5 + 0.5 * 1.5 = 2.25: what the generator's loss leaves behind in
    its gradient plays no part. A bias goes 0 -> -0.1 * 1.5 -> -0.15 - 0.1 * 2.25, by the critic of that step.
    """
    trainer = Trainer(tiny, scenes, plain, seed=0, objective=TwoParts)
    objective = trainer.objective
    assert isinstance(objective, TwoParts)
    losses: list[float] = []
    trainer.train_to(1, lambda step, loss: losses.append(loss))
    assert objective.critic.opinion.item() == 1.5
    assert objective.biases.tolist() == pytest.approx([-0.15] * 12)
    trainer.train_to(2, lambda step, loss: losses.append(loss))
    assert objective.critic.opinion.item() == 2.25
    assert objective.biases.tolist() == pytest.approx([-0.375] * 12)
    assert objective.asked == ["critic", "generator"] * 2
    assert losses == [4.5, 1.125]  # of the first part
    averaged = trainer.averaged.unet.conv_out.bias  # after one step 0.9 of it, after two 9/11 of the rest
    assert averaged is not None
    assert averaged.tolist() == pytest.approx([2 / 11 * (-0.15 * 0.9) + 9 / 11 * -0.375] * 12)


def test_parts_may_take_turns_from_step_to_step(
    tiny: Architecture, scenes: Dataset, plain: TrainingSettings
) -> None:
    trainer = Trainer(tiny, scenes, plain, seed=0, objective=Alternating)
    objective, seen = trainer.objective, list[tuple[float, float]]()
    assert isinstance(objective, Alternating)
    trainer.train_to(
        4, lambda step, loss: seen.append((objective.critic.opinion.item(), objective.biases[0].item()))
    )
    assert objective.asked == ["critic", "generator", "critic", "generator"]
    assert seen == [pytest.approx(pair) for pair in ((1.5, 0), (1.5, -0.15), (2.25, -0.15), (2.25, -0.375))]


def test_every_part_is_in_the_state(
    tiny: Architecture, scenes: Dataset, plain: TrainingSettings, tmp_path: Path
) -> None:
    whole, first, second = (Trainer(tiny, scenes, plain, seed=0, objective=WithMomentum) for _ in range(3))
    whole.train_to(5)
    first.train_to(3)
    save(first, tmp_path)
    assert {"parts/critic/weights/opinion", "parts/critic/optimizer/opinion/momentum_buffer"} <= set(
        first.state().tensors
    )
    load(second, tmp_path)
    second.train_to(5)
    opinions = []
    for trainer in (whole, second):
        assert isinstance(trainer.objective, TwoParts)
        opinions.append((trainer.objective.critic.opinion.item(), trainer.objective.biases.tolist()))
    assert opinions[0] == opinions[1]


class Reconstruction(TrainingObjective[Tensor, nn.Linear]):
    """(w x + b - x)^2 of x = 2: what is trained generates nothing."""

    name = "reconstruction"

    def __init__(self) -> None:
        self.model = nn.Linear(1, 1)
        nn.init.zeros_(self.model.weight)
        nn.init.zeros_(self.model.bias)
        self.parts = {"model": TrainedPart(self.model, torch.optim.SGD(self.model.parameters(), 0.05))}

    def batch(self, step: int, rows: range | None = None) -> Tensor:
        return torch.tensor([2.0])

    def loss(self, part: str, batch: Tensor) -> Tensor:
        return (self.model(batch) - batch).square().sum()

    def validation_loss(self, model: nn.Linear) -> float:
        return (model(torch.tensor([2.0])) - 2).square().item()


def test_anything_can_be_trained(plain: TrainingSettings) -> None:
    """The first gradients are -2 * 2 * 2 = -8 of w and -4 of b: w = 0.4, b = 0.2. The mean holds 0.9 of them:
    0.72 + 0.18 of 2, off by 1.1."""
    loop = TrainingLoop(Reconstruction(), plain, torch.device("cpu"), {"seed": 0})
    loop.train_to(1)
    weight, bias = (parameter.item() for parameter in loop.objective.model.parameters())
    assert (weight, bias) == (pytest.approx(0.4), pytest.approx(0.2))
    assert loop.validation_loss() == pytest.approx(1.1**2)

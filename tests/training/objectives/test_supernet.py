"""Training what a whole space inherits: which architecture learns at which step, and going on exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from space.budget import Budget
from space.choices import LevelRanges, Space
from space.paths import SpacePaths
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError
from tests.training.examples import load, save, weights
from training.data.dataset import Dataset
from training.objectives.supernet import SupernetObjective, supernet_of
from training.settings import TrainingSettings
from training.supernet import SupernetTrainer
from training.trainer import Trainer

SPACE = Space(
    {
        "level_1": LevelRanges((16, 32), ("full", "separable")),
        "level_2": LevelRanges(
            (32, 48), ("separable", "full"), (1, 2), (0, 1), (1,), (False, True), (False, True)
        ),
    },
    base={"time_width": 32, "norm_groups": 4, "head_width": 16},
)
PROXY = Proxy(
    width_divisor=2, latent_channels=12, latent_size=8, context_length=12, context_width=16, heads=2
)
BUDGET = Budget(0.2, 200)  # about half of the space


def trainer_of(
    data: Dataset, settings: TrainingSettings, budget: Budget = BUDGET, seed: int = 0
) -> SupernetTrainer:
    return SupernetTrainer(SpacePaths(SPACE, budget), PROXY, data, settings, seed=seed)


def objective_of(trainer: Trainer) -> SupernetObjective:
    assert isinstance(trainer.objective, SupernetObjective)
    return trainer.objective


def test_each_step_trains_what_its_seed_samples_within_the_budget(
    scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = trainer_of(scenes, settings)
    objective = objective_of(trainer)
    sampled = [objective.sampled(step) for step in range(20)]
    assert not [a.id for a in sampled if BUDGET.excess(a)] and BUDGET.excess(trainer.largest)
    assert len({a.id for a in sampled}) > 10 and sampled == [objective.sampled(step) for step in range(20)]
    assert sampled != [objective_of(trainer_of(scenes, settings, seed=1)).sampled(n) for n in range(20)]
    trained: list[str] = []
    trainer.train_to(2, lambda step, loss: trained.append(supernet_of(trainer.objective.model).chosen.id))
    assert trained == [a.id for a in sampled[:2]]


def test_batches_and_losses_are_those_of_a_training_by_itself(
    scenes: Dataset, settings: TrainingSettings
) -> None:
    """With inherited weights, a trainer of one architecture loses as much as the supernet does."""
    trainer = trainer_of(scenes, settings)
    trainer.train_to(4)
    architecture = objective_of(trainer).sampled(0)
    trainer.inherit(architecture)
    alone = Trainer(narrow(architecture, PROXY), scenes, settings, seed=0)
    batch, own = trainer.objective.batch(0), alone.objective.batch(0)
    assert torch.equal(batch.data.images, own.images) and torch.equal(batch.data.noise, own.noise)
    with torch.no_grad():
        alone.averaged.unet.load_state_dict(supernet_of(trainer.averaged).weights())
        assert alone.averaged.text is not None and trainer.averaged.text is not None
        alone.averaged.text.load_state_dict(trainer.averaged.text.state_dict())
    assert trainer.validation_loss() == pytest.approx(alone.validation_loss(), rel=1e-5)
    captions = scenes.held_out_captions[:4]
    assert (trainer.generate(captions, seed=0) == alone.generate(captions, seed=0)).mean() > 0.99


def test_all_that_inherit_learn(scenes: Dataset, settings: TrainingSettings) -> None:
    trainer = trainer_of(scenes, settings)
    candidates = [objective_of(trainer).sampled(step) for step in range(100, 103)]

    def losses() -> list[float]:
        found = []
        for candidate in candidates:
            trainer.inherit(candidate)
            found.append(trainer.validation_loss())
        return found

    before = losses()
    trainer.train_to(16)
    after = losses()
    assert all(0 < now < 0.95 * then for now, then in zip(after, before, strict=True)), (before, after)
    assert len(set(after)) == 3


def test_it_goes_on_exactly(scenes: Dataset, settings: TrainingSettings, tmp_path: Path) -> None:
    """Although parameters that no step has used have no state in the optimiser yet."""
    straight, first, second = (trainer_of(scenes, settings) for _ in range(3))
    straight.train_to(4)
    first.train_to(2)
    held = sum(bool(state) for state in first.objective.parts["model"].optimizer.state.values())
    assert 0 < held < len(list(first.objective.model.parameters()))
    save(first, tmp_path)
    load(second, tmp_path)
    second.train_to(4)
    assert second.step == 4 and all(map(torch.equal, weights(straight), weights(second)))
    with pytest.raises(InputError, match="is of another space"):
        load(trainer_of(scenes, settings, Budget(0.3, 200)), tmp_path)


def test_a_budget_that_next_to_nothing_fits_is_named(
    scenes: Dataset, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("space.paths.MOST_SAMPLES", 50)
    trainer = trainer_of(scenes, settings, replace(BUDGET, parameters_millions=1e-3))
    with pytest.raises(InputError, match="budget: none of 50 random architectures"):
        trainer.train_to(1)


def test_parameters_are_those_of_the_supernet(scenes: Dataset, settings: TrainingSettings) -> None:
    trainer = trainer_of(scenes, settings)
    assert trainer.parameters > price(narrow(trainer.largest, PROXY)).parameters

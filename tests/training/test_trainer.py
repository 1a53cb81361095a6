"""The trainer: averages, divergence, and batches that are made ahead."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import weights
from training.data.dataset import Dataset
from training.data.digits import DigitsSettings
from training.data.factory import load_data
from training.failures import Diverged
from training.latents import LatentSettings
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.settings import TrainingSettings
from training.trainer import Trainer


def test_training_does_not_touch_the_global_random_state(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    before = torch.random.get_rng_state()
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(1)
    trainer.generate(["a"], seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_loss_falls(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    before = trainer.validation_loss()
    trainer.train_to(40)
    assert trainer.validation_loss() < 0.6 * before


def test_averaging_forgets_the_start(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> None:
    """Its decay after step n is (1 + n) / (10 + n) until that exceeds the stated one."""
    trainer = Trainer(tiny, scenes, settings, seed=0)
    expected, decays = [p.detach().clone() for p in trainer.averaged.parameters()], [0.1, 2 / 11, 3 / 12]
    for index, decay in enumerate(decays):
        trainer.train_to(index + 1)
        expected = [
            decay * e + (1 - decay) * p.detach()
            for e, p in zip(expected, trainer.objective.model.parameters(), strict=True)
        ]
    for mine, theirs in zip(expected, trainer.averaged.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("-inf"), "infinite")])
def test_a_diverged_loss_leaves_the_weights_of_before_that_step(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, value: float, word: str
) -> None:
    class Breaking(DiffusionObjective):
        losses = 0

        def loss(self, part: str, batch: object) -> torch.Tensor:
            self.losses += 1
            loss = super().loss(part, batch)  # type: ignore[arg-type]
            return loss * value if self.losses == 3 else loss

    trainer, sound = (
        Trainer(tiny, scenes, settings, seed=0, objective=kind) for kind in (Breaking, DiffusionObjective)
    )
    told: list[int] = []
    with pytest.raises(Diverged, match=f"loss is {word} at step 3"):
        trainer.train_to(5, lambda step, loss: told.append(step))
    sound.train_to(2)
    assert trainer.step == 2 and told == [1, 2]
    assert all(map(torch.equal, weights(trainer), weights(sound)))
    trainer.train_to(4)  # the same step, of which the loss is a number now
    sound.train_to(4)
    assert all(map(torch.equal, weights(trainer), weights(sound)))


def batch_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_the_thread_that_makes_batches_ends_with_the_training(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    seen: list[list[str]] = []

    def stop(step: int, loss: float) -> None:
        seen.append(batch_threads())
        if step == 2:
            raise KeyboardInterrupt

    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(1, lambda step, loss: seen.append(batch_threads()))
    assert batch_threads() == []
    with pytest.raises(KeyboardInterrupt):
        trainer.train_to(9, stop)
    assert batch_threads() == [] and [len(names) for names in seen] == [1, 1]
    trainer.train_to(4)
    undisturbed = Trainer(tiny, scenes, settings, seed=0)
    undisturbed.train_to(4)
    assert all(map(torch.equal, weights(trainer), weights(undisturbed)))


def test_what_is_wrong_with_a_batch_is_raised_in_its_step(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    class Unreadable(DiffusionObjective):
        def batch(self, step: int, rows: range | None = None) -> DiffusionBatch:
            if step == 3:
                raise InputError("3.png: cannot be read any more as an image")
            return super().batch(step, rows)

    trainer = Trainer(tiny, scenes, settings, seed=0, objective=Unreadable)
    with pytest.raises(InputError, match=r"3\.png"):
        trainer.train_to(9)
    assert trainer.step == 3 and batch_threads() == []


def test_digits_and_other_factors_train_through_the_same_path(
    tiny: Architecture, settings: TrainingSettings
) -> None:
    data = load_data(DigitsSettings(image_size_px=32))
    architecture = replace(tiny, latent_channels=48)
    trainer = Trainer(architecture, data, replace(settings, latents=LatentSettings(factor=4)), seed=0)
    trainer.train_to(2)
    assert trainer.generate(["a handwritten seven"], seed=0).shape == (1, 32, 32, 3)

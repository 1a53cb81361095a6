"""What steps give becomes points, and nothing that is trained changes by it."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import psutil
import pytest
import torch

from space.architecture import Architecture
from tests.training.examples import weights
from training.data.dataset import Dataset
from training.logs.meter import Meter, average_gap, peak_memory_mib
from training.objectives.by_timestep import LossByTimestep
from training.settings import TrainingSettings
from training.trainer import Trainer


def test_the_loss_of_each_quarter_is_the_mean_of_its_images() -> None:
    losses = LossByTimestep(timesteps=10)  # quarters begin at 0, 3, 5 and 8: where t * 4 // 10 rises
    assert losses.take() is None
    losses.add(torch.tensor([0, 2, 3]), torch.tensor([1.0, 3.0, 5.0]))
    losses.add(torch.tensor([9, 8, 7]), torch.tensor([2.0, 4.0, 0.5]))
    taken = losses.take()
    assert taken is not None and taken.read() == {"0-2": 2.0, "3-4": 5.0, "5-7": 0.5, "8-9": 3.0}
    losses.add(torch.tensor([4]), torch.tensor([7.0]))
    taken = losses.take()
    assert taken is not None and taken.read() == {"3-4": 7.0}


@pytest.fixture
def made(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> Trainer:
    return Trainer(tiny, scenes, replace(settings, micro_batch=3), seed=2)


def test_points_are_means_over_the_steps_since_the_last(made: Trainer) -> None:
    meter, losses, norms = Meter(lambda: made), list[float](), list[float]()

    def after(step: int, loss: float) -> None:
        meter.step(step, loss)
        losses.append(loss)
        assert made.gradient_norm is not None
        norms.append(made.gradient_norm.read())

    meter.start()
    made.train_to(12, after)
    points = meter.points()
    assert list(points) == [10, 12] and meter.points() == {}
    for step, own in ((10, slice(0, 10)), (12, slice(10, 12))):
        assert points[step]["loss"] == pytest.approx(sum(losses[own]) / len(losses[own]))
        assert points[step]["gradient_norm"] == pytest.approx(sum(norms[own]) / len(norms[own]))
        assert points[step]["images_per_second"] > 0
    assert points[10]["learning_rate"] == made.settings.learning_rate  # after the warm-up
    quarters = [value for name, value in points[10].items() if name.startswith("loss_by_timestep/")]
    assert len(quarters) == 4 and min(quarters) < points[10]["loss"] < max(quarters)
    assert points[12]["memory_mib"] > 10 and "memory_mib" not in points[10]


def test_watching_changes_no_weight(
    made: Trainer, tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    alone, meter = Trainer(tiny, scenes, replace(settings, micro_batch=3), seed=2), Meter(lambda: made)
    made.train_to(4, meter.step)
    meter.points()
    average_gap(made.state())
    made.train_to(6, meter.step)
    alone.train_to(6)
    assert all(map(torch.equal, weights(made), weights(alone)))


def test_steps_that_did_not_stay_are_in_no_point(made: Trainer) -> None:
    meter = Meter(lambda: made)
    made.train_to(3, meter.step)
    meter.drop()
    made.train_to(4, lambda step, loss: meter.step(step, 5.0))
    assert [(step, point["loss"]) for step, point in meter.points().items()] == [(4, 5.0)]


def test_the_gap_is_the_distance_of_the_averaged_weights(made: Trainer) -> None:
    made.train_to(2)
    trained = torch.cat([p.detach().flatten() for p in made.objective.model.parameters()])
    averaged = torch.cat([p.detach().flatten() for p in made.averaged.parameters()])
    gap = sqrt(float((averaged - trained).square().sum() / trained.square().sum()))
    assert average_gap(made.state()) == pytest.approx(gap, rel=1e-4) and gap > 0


def test_memory_is_the_most_that_this_process_held() -> None:
    before = peak_memory_mib(torch.device("cpu"))
    now = psutil.Process().memory_info().rss / 2**20
    held = np.ones(int(before - now + 64) * 2**17)  # float64: 64 MiB more than ever
    after = peak_memory_mib(torch.device("cpu"))
    assert held[-1] == 1
    assert before + 32 < after < before + 128

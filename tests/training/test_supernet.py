"""Rounds of shared training: what each takes over from the one before, and going on in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from space.architecture import Architecture
from space.paths import RobustPaths
from space.proxy import Proxy
from space.shared.plain import InputError
from space.subnet import Subnet
from tests.training.examples import load, save, weights
from training.data.dataset import Dataset
from training.objectives.supernet import supernet_of
from training.settings import TrainingSettings
from training.supernet import Round, SharedTrainer, SupernetTrainer


def rounds_of(tiny: Architecture) -> list[Round]:
    """A layer goes after two steps, another is copied after four."""
    whole = Subnet.of(tiny)
    second = whole.without("down-2/0/layer-0")
    third = second.with_copy("up-2/0/layer-0")
    untils = zip((whole, second, third), (2, 4, 6), strict=True)
    return [Round(RobustPaths(network, 0.7), until) for network, until in untils]


@pytest.fixture
def rounds(tiny: Architecture) -> list[Round]:
    return rounds_of(tiny)


def trainer_of(
    rounds: list[Round], data: Dataset, settings: TrainingSettings, seed: int = 0
) -> SharedTrainer:
    return SharedTrainer(rounds, Proxy(), data, settings, seed=seed)


def shared(trainer: SharedTrainer) -> dict[str, Tensor]:
    return dict(supernet_of(trainer.now.averaged).shared)


def test_a_round_takes_over_weights_averages_and_moments(
    rounds: list[Round], scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = trainer_of(rounds, scenes, settings)
    trainer.train_to(4)
    before, now = trainer.now, SupernetTrainer(rounds[2].paths, Proxy(), scenes, settings, seed=0, place=2)
    now.take_over(before)
    old, new = (dict(supernet_of(one.averaged).shared) for one in (before, now))
    assert now.step == 4 and new.keys() > old.keys()
    layer = "up-2/0/layer-0/feed_forward/expand/weight"
    copy = layer.replace("layer-0", "layer-0+1")
    assert torch.equal(new[copy], old[layer]) and all(torch.equal(new[name], old[name]) for name in old)
    model, theirs = (one.objective.parts["model"] for one in (now, before))
    own = dict(model.module.named_parameters())
    moments, of_before = model.optimizer.state, theirs.optimizer.state
    one, other = (own[f"unet.shared.{name}"] for name in (layer, copy))
    source = dict(theirs.module.named_parameters())[f"unet.shared.{layer}"]
    assert torch.equal(moments[one]["exp_avg"], of_before[source]["exp_avg"])
    assert torch.equal(moments[other]["exp_avg_sq"], of_before[source]["exp_avg_sq"])
    assert moments[one]["step"] is not moments[other]["step"]
    now.train_to(5)  # each counts its own steps
    assert moments[one]["step"] <= of_before[source]["step"] + 1


@pytest.mark.parametrize("stop", [1, 2, 4, 5])
def test_it_goes_on_exactly_from_any_step_of_any_round(
    rounds: list[Round], scenes: Dataset, settings: TrainingSettings, tmp_path: Path, stop: int
) -> None:
    straight, first = (trainer_of(rounds, scenes, settings) for _ in range(2))
    straight.train_to(6)
    first.train_to(stop)
    save(first, tmp_path)
    second = trainer_of(rounds, scenes, settings)
    load(second, tmp_path)
    assert second.step == stop
    second.train_to(6)
    assert shared(second).keys() == shared(straight).keys() and "up-2/0/layer-0+1" in str(
        list(shared(second))
    )
    assert all(map(torch.equal, weights(straight.now), weights(second.now)))


def test_one_round_more_goes_on_from_the_one_before(
    rounds: list[Round], scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    """As the jobs of a search come: each with what has been decided meanwhile."""
    for count in (1, 2, 3):
        trainer = trainer_of(rounds[:count], scenes, settings)
        if count > 1:
            load(trainer, tmp_path)
        trainer.train_to(2 * count)
        save(trainer, tmp_path)
    straight = trainer_of(rounds, scenes, settings)
    straight.train_to(6)
    assert all(map(torch.equal, weights(straight.now), weights(trainer.now)))
    with pytest.raises(InputError, match="is of round 3 of a training of 2"):
        load(trainer_of(rounds[:2], scenes, settings), tmp_path)
    other = [rounds[0], rounds[1], Round(rounds[1].paths, 6)]
    with pytest.raises(InputError, match=r"is of another (architecture|network)"):
        load(trainer_of(other, scenes, settings), tmp_path)

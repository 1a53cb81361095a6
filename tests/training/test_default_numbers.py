"""What settings of the recipe leave as it was: the default's weights, losses and stored words."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from mdsearch.commands.train import command_of
from space.architecture import Architecture
from space.proxy import narrow
from space.shared.plain import to_plain
from tests.training.examples import weights
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.settings import TrainingSettings
from training.trainer import Trainer

# Of seed 0 with the default's architecture, data, proxy and settings, by the version before the recipe.
FIRST_LOSSES = [float.fromhex(text) for text in ("0x1.26287cp-2", "0x1.b67b7cp-2", "0x1.24fbeap-1")]
STORED = "8247727cad2efb9b"


def test_the_first_losses_of_the_default_are_those_recorded() -> None:
    command, _ = command_of([])
    data = load_data(command.data)
    trainer = Trainer(narrow(command.architecture(), command.proxy), data, command.training, seed=0)
    losses: list[float] = []
    trainer.train_to(len(FIRST_LOSSES), lambda step, loss: losses.append(loss))
    assert losses == pytest.approx(FIRST_LOSSES, rel=1e-5)  # another processor may round otherwise


def test_settings_that_joined_since_are_stored_only_where_they_are_used() -> None:
    """Headers, protocol parts and their digests are made of this."""
    command, _ = command_of([])
    assert (
        hashlib.sha256(json.dumps(to_plain(command.training), sort_keys=True).encode()).hexdigest()[:16]
        == STORED
    )
    assert to_plain(TrainingSettings(micro_batch=4))["micro_batch"] == 4


def test_the_loop_is_a_plain_one_bit_for_bit(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """AdamW at 1e-3 after four steps of warm-up, gradients clipped to norm 1, a running mean."""
    trainer, plain = (Trainer(tiny, scenes, settings, seed=0) for _ in range(2))
    losses: list[float] = []
    trainer.train_to(6, lambda step, loss: losses.append(loss))
    objective, expected = plain.objective, list[float]()
    model, optimizer = objective.model, objective.parts["model"].optimizer
    model.train()
    for step in range(6):
        optimizer.zero_grad()
        loss = objective.loss("model", objective.batch(step))
        loss.backward()
        expected.append(loss.item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 4)
        optimizer.step()
        decay = min(0.97, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, parameter in zip(plain.averaged.parameters(), model.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)
    assert losses == expected
    assert all(map(torch.equal, weights(trainer), weights(plain)))

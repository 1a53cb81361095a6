"""What is read late, and a step on a GPU that never makes it wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from space.architecture import Architecture
from training.data.dataset import Dataset
from training.devices import Scalar, used_here
from training.settings import TrainingSettings
from training.trainer import Trainer


def test_a_scalar_keeps_the_value_of_when_it_was_made() -> None:
    value = torch.tensor(0.1, requires_grad=True)
    scalar = Scalar(value)
    with torch.no_grad():
        value.fill_(7)
    assert scalar.read() == float(torch.tensor(0.1))


def test_a_batch_is_used_as_it_is_on_a_cpu() -> None:
    batch = (torch.zeros(1), (torch.ones(1), None))
    assert used_here(batch, torch.device("cpu")) is batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_does_not_synchronise_a_gpu(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tiny, scenes, replace(settings, device="cuda"), seed=0)
    trainer.train_to(2)
    batch = trainer.objective.batch(2)
    monkeypatch.setattr(trainer.objective, "batch", lambda step: batch)  # making one may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_to(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")

"""What is read late, and a step on a GPU that never makes it wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch

from space.architecture import Architecture
from training import devices
from training import trainer as trainers
from training.data.dataset import Dataset
from training.devices import Scalar, clip_gradients, moved, used_here
from training.logs.meter import Meter
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


def test_a_batch_that_moved_is_of_the_same_kind(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    batch = Trainer(tiny, scenes, settings, seed=0).objective.batch(0)
    assert moved(batch, torch.device("cpu")).tokens.ids is batch.tokens.ids
    elsewhere = moved(batch, torch.device("meta"))
    assert type(elsewhere) is type(batch) and type(elsewhere.tokens) is type(batch.tokens)
    assert {each.device.type for each in (elsewhere.images, elsewhere.tokens.rows)} == {"meta"}


@pytest.mark.parametrize("most", [0.5, 4.9999, 5.0, 5.0001, 50.0, float("nan")])
def test_gradients_are_clipped_as_torch_does(most: float) -> None:
    """3, 4 and none: of norm 5."""
    ours, theirs = ([torch.nn.Parameter(torch.ones(1)) for _ in range(3)] for _ in range(2))
    for parameters in (ours, theirs):
        for parameter, value in zip(parameters, (3.0, 4.0), strict=False):
            parameter.grad = torch.full((1,), value)
    assert clip_gradients(ours, most, torch.device("cpu")) == 5
    torch.nn.utils.clip_grad_norm_(theirs, most)
    for own, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def step_elsewhere(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[bool]]:
    """A watched step of two micro-batches on a device whose numbers nothing here can know: whatever would
    wait for one raises, but for `Scalar`. Returns, for each that it read, whether the backward pass was
    launched."""
    meta = torch.device("meta")
    batches = Trainer(tiny, scenes, settings, seed=0).objective
    monkeypatch.setattr(trainers, "choose_device", lambda name: meta)
    monkeypatch.setattr(TrainingSettings, "autocast", lambda *_: nullcontext())  # knows no such device
    trainer = Trainer(tiny, scenes, replace(settings, micro_batch=4), seed=0)
    monkeypatch.setattr(
        trainer.objective, "batch", lambda step, rows=None: moved(batches.batch(step, rows), meta)
    )
    read: list[bool] = []

    def read_late(scalar: Scalar) -> float:
        read.append(all(each.grad is not None for each in trainer.objective.model.unet.parameters()))
        return 1.0

    monkeypatch.setattr(Scalar, "read", read_late)

    def step() -> list[bool]:
        trainer.train_to(1, Meter(lambda: trainer).step)
        return read

    monkeypatch.setattr("training.logs.meter.POINT_EVERY", 1)
    return step


def test_a_step_reads_losses_alone_and_behind_the_launch_of_the_backward_pass(
    step_elsewhere: Callable[[], list[bool]],
) -> None:
    assert step_elsewhere() == [True, True]


def test_a_hidden_wait_would_be_seen(
    step_elsewhere: Callable[[], list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = partial(torch.nn.utils.clip_grad_norm_, error_if_nonfinite=True)  # looks at the norm
    monkeypatch.setattr(devices, "clip_grad_norm_", clip)
    with pytest.raises(RuntimeError, match="meta"):
        step_elsewhere()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("checkpointing", ["none", "blocks"])
def test_a_step_does_not_synchronise_a_gpu(
    tiny: Architecture,
    scenes: Dataset,
    settings: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    checkpointing: str,
) -> None:
    chosen = replace(settings, device="cuda", micro_batch=4, checkpointing=checkpointing)
    trainer = Trainer(tiny, scenes, chosen, seed=0)
    trainer.train_to(2)
    made = [trainer.objective.batch(2, rows) for rows in (range(4), range(4, 8))]
    monkeypatch.setattr(
        trainer.objective, "batch", lambda step, rows: made[rows.start // 4]
    )  # making one may wait
    monkeypatch.setattr("training.logs.meter.POINT_EVERY", 1)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_to(3, Meter(lambda: trainer).step)
    finally:
        torch.cuda.set_sync_debug_mode("default")

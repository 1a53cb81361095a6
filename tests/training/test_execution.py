"""Settings of speed and memory: what they change, and that results stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.measure import held_for_backward
from space.architecture import Architecture
from space.shared.compiling import missing_to_compile
from space.shared.plain import InputError
from tests.training.examples import weights
from training import execution
from training.data.dataset import Dataset
from training.execution import CompiledBlocks, keep_activations
from training.settings import TrainingSettings
from training.trainer import Trainer

LACKING = missing_to_compile("cpu")
Makes = Callable[..., Trainer]


@pytest.fixture
def make(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> Makes:
    return lambda **changes: Trainer(tiny, scenes, replace(settings, **changes), seed=0)


def losses_of(trainer: Trainer, steps: int = 3) -> list[float]:
    losses: list[float] = []
    trainer.train_to(steps, lambda step, loss: losses.append(loss))
    return losses


def held(trainer: Trainer) -> int:
    """Bytes that a forward pass leaves for the backward pass."""
    with held_for_backward(trainer.objective.model) as found:
        loss = trainer.objective.loss("model", trainer.objective.batch(0))
    del loss
    return sum(found.values())


@pytest.mark.parametrize("checkpointing", ["levels", "blocks"])
def test_with_checkpointing_less_is_kept_and_losses_and_weights_are_the_same(
    make: Makes, checkpointing: str
) -> None:
    plain, checkpointed = make(), make(checkpointing=checkpointing)
    assert held(checkpointed) < 0.8 * held(plain)
    assert losses_of(checkpointed) == losses_of(plain)
    assert all(map(torch.equal, weights(checkpointed), weights(plain)))


def test_each_kind_of_block_is_compiled_once_and_nothing_else_changes(
    make: Makes, tiny: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(execution, "missing_to_compile", lambda device: None)
    deeper = replace(tiny, levels=(tiny.levels[0], replace(tiny.levels[1], down=(2, 1), up=(2, 1, 1))))
    made = make()
    compiling = replace(made.settings, compile="blocks")
    plain, trainer = (Trainer(deeper, made.data, each, seed=0) for each in (made.settings, compiling))
    lines: list[str] = []
    trainer.say = lines.append
    assert losses_of(trainer) == losses_of(plain)
    found = trainer.compiled
    assert found is not None and len(compiled) == found.kinds
    assert (found.blocks, found.kinds) == (15, 8)
    assert len(lines) == 1 and "8 kinds of 15 blocks" in lines[0] and "40 steps" in lines[0]
    assert all(map(torch.equal, weights(trainer), weights(plain)))
    assert trainer.validation_loss() == plain.validation_loss()  # by copies, which have weights of their own
    assert len(compiled) == found.kinds


@pytest.mark.slow  # a C++ compiler takes many CPU seconds
@pytest.mark.skipif(LACKING is not None, reason=f"needs {LACKING}")
@pytest.mark.parametrize("checkpointing", ["none", "blocks"])
def test_compiled_blocks_learn_as_others_do(make: Makes, checkpointing: str) -> None:
    trainer = make(compile="blocks", checkpointing=checkpointing)
    assert losses_of(trainer) == pytest.approx(losses_of(make()), rel=1e-4)


def test_what_cannot_be_compiled_or_computed_again_is_refused(
    make: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"^checkpointing: levels .*allowed: none"):
        keep_activations([nn.Linear(1, 1)], "levels")
    monkeypatch.setattr(execution, "missing_to_compile", lambda device: None)
    with pytest.raises(InputError, match=r"^compile: blocks .*allowed: none"):
        CompiledBlocks([nn.Linear(1, 1)], "cpu")
    monkeypatch.setattr(execution, "missing_to_compile", lambda device: "a compiler")
    with pytest.raises(InputError, match=r"^compile: blocks needs a compiler, .*allowed: none"):
        make(compile="blocks")


@pytest.mark.parametrize(
    ("memory_format", "expected"),
    [
        ("auto", torch.channels_last),
        ("channels_last", torch.channels_last),
        ("contiguous", torch.contiguous_format),
    ],
)
def test_weights_and_their_means_have_the_layout_of_the_settings(
    make: Makes, memory_format: str, expected: torch.memory_format
) -> None:
    trainer = make(memory_format=memory_format)
    for model in (trainer.objective.model, trainer.averaged):
        assert model.unet.conv_in.weight.is_contiguous(memory_format=expected)  # type: ignore[union-attr, operator]
    assert losses_of(trainer) == pytest.approx(losses_of(make()), rel=1e-4)

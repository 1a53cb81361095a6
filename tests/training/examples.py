"""What several tests of training share."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from space.architecture import Architecture, Level
from training.checkpoints import Checkpoints
from training.distillation import Distiller
from training.objectives.ufogen import UfogenObjective
from training.supernet import SharedTrainer
from training.trainer import Trainer

TINY = Architecture(
    levels=(
        Level(8, "full", (0,), (0, 0)),
        Level(16, "separable", (1,), (1, 0), self_attention=True, cross_attention=True),
    ),
    head_width=None,
    heads=2,
    norm_groups=4,
    time_width=16,
    latent_channels=12,
    latent_size=8,
    context_length=12,
    context_width=16,
)
"""Two levels, one transformer layer: 8x8x12 latents of 16 px images, 12 x 16 context."""

Makes = Callable[..., Distiller]
"""Of the fixture `make_distiller`, called with fields of `UfogenSettings`."""


def ufogen(distiller: Distiller) -> UfogenObjective:
    assert isinstance(distiller.objective, UfogenObjective)
    return distiller.objective


def wider(architecture: Architecture) -> Architecture:
    outer, inner = architecture.levels
    return replace(architecture, levels=(outer, replace(inner, channels=24, self_attention=False)))


def weights(trainer: Trainer) -> list[torch.Tensor]:
    """Trained ones, then averaged ones."""
    models = (trainer.objective.model, trainer.averaged)
    return [parameter.detach().clone() for model in models for parameter in model.parameters()]


def save(trainer: Trainer | SharedTrainer, folder: Path) -> None:
    with closing(Checkpoints(folder)) as states:
        states.write(trainer.state())


def load(trainer: Trainer | SharedTrainer, folder: Path) -> None:
    state = Checkpoints(folder).latest()
    assert state is not None
    trainer.restore(state, str(folder))


def changed_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def changed_weights(file: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(change(load_file(file)), file, metadata={"format": "pt"})

"""What several tests of training share."""

from __future__ import annotations

from dataclasses import replace

import torch

from space.architecture import Architecture
from training.trainer import Trainer


def wider(architecture: Architecture) -> Architecture:
    outer, inner = architecture.levels
    return replace(architecture, levels=(outer, replace(inner, channels=24, self_attention=False)))


def weights(trainer: Trainer) -> list[torch.Tensor]:
    """Trained ones, then averaged ones."""
    models = (trainer.objective.model, trainer.averaged)
    return [parameter.detach().clone() for model in models for parameter in model.parameters()]

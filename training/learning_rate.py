"""The learning rate of each step."""

from __future__ import annotations

import math

from space.shared.plain import InputError, nearest
from training.settings import TrainingSettings


def learning_rate(settings: TrainingSettings, base: float, step: int) -> float:
    """Linear warm-up to `base`, then none, linear or cosine decay to zero at `steps`."""
    if step < settings.warmup_steps:
        return base * (step + 1) / settings.warmup_steps
    done = min(1.0, (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps))
    shares = {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    if settings.decay not in shares:
        raise InputError(f"decay: {settings.decay!r}; {nearest(settings.decay, shares)}")
    return base * shares[settings.decay]

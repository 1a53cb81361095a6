"""How long a training step takes, measured here."""

from __future__ import annotations

import time
from typing import Any

from training.loop import TrainingLoop

FORWARD_SHARE = 1 / 3  # of a training step


def seconds_per_step(loop: TrainingLoop[Any]) -> float:
    """Measured here: the fastest of a few training steps, the first left out."""
    return min(seconds_of_steps(loop, 3))


def seconds_of_steps(loop: TrainingLoop[Any], count: int) -> list[float]:
    """Of the next steps but the first, one by one."""
    loop.train_to(loop.step + 1)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        loop.train_to(loop.step + 1)
        took.append(time.perf_counter() - began)
    return took

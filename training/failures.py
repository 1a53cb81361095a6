"""How a training fails, by what can be done about it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

import torch

_NO_MEMORY = ("out of memory", "can't allocate", "failed to allocate")
LATELY, FEWEST_LATELY = 100, 20  # losses that a spike stands out from


class Diverged(RuntimeError):
    """Loss, gradients or weights are no numbers any more, or the loss has jumped."""


class Collapsed(RuntimeError):
    """A discriminator tells all apart: training would go the same way from any state before."""


class OutOfMemory(RuntimeError):
    """Memory ran out on one of several workers: all begin again from the last state, with smaller parts.

    Attributes:
        micro_batch: images whose gradients they shall take at once.
    """

    def __init__(self, reason: str, micro_batch: int) -> None:
        super().__init__(reason, micro_batch)
        self.reason, self.micro_batch = reason, micro_batch

    def __str__(self) -> str:
        return self.reason


class WorkersLost(RuntimeError):
    """Workers died, and no more are to begin again."""


def is_out_of_memory(error: BaseException) -> bool:
    """Of a GPU, of this process, or of this machine."""
    if isinstance(error, (MemoryError, OutOfMemory, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


def why_failed(error: BaseException) -> str:
    """The reason for the record: what a person would say of it, in one line."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, Diverged):
        return f"diverged: {text}"
    if is_out_of_memory(error):
        return f"out of memory: {text}" if text else "out of memory"
    return f"{type(error).__name__}: {text}"


class LossWatch:
    """Raises `Diverged` for what is no number, and a loss above `spike_factor` medians of the last ones."""

    def __init__(self, spike_factor: float | None, losses: Iterable[float] = ()) -> None:
        self._factor, self.lately = spike_factor, deque(losses, maxlen=LATELY)

    def add(self, loss: float) -> None:
        """Of a step that was taken."""
        self.lately.append(loss)

    def check_finite(self, what: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            raise Diverged(f"{what} is {'NaN' if math.isnan(value) else 'infinite'} at step {step}")

    def check_spike(self, loss: float, step: int) -> None:
        if self._factor is None or len(self.lately) < FEWEST_LATELY:
            return
        usual = median(self.lately)
        if loss > self._factor * usual:
            raise Diverged(
                f"loss is {loss:.4g} at step {step}, {loss / usual:.1f} times the median of "
                f"the last {len(self.lately)} (spike_factor: {self._factor:g})"
            )

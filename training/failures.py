"""How a training fails, by what can be done about it."""

from __future__ import annotations

import torch

_NO_MEMORY = ("out of memory", "can't allocate", "failed to allocate")


class Diverged(RuntimeError):
    """Loss, gradients or weights are no numbers any more, or the loss has jumped."""


def is_out_of_memory(error: BaseException) -> bool:
    """Of a GPU, of this process, or of this machine."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)

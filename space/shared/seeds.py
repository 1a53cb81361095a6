"""Random numbers that derive from what they are for, never from global state.

Every architecture trained with one seed sees the same batches, noise, timesteps and dropped captions in the
same order (common random numbers), so that the difference of two candidates is a paired one; and a resumed
training goes on exactly, with no generator state to save.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(*key: int | str) -> int:
    """A 63-bit seed from a key such as ("noise", seed, step): equal keys, equal seeds, on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for this key."""
    import torch  # here, so that samplers derive seeds without it

    return torch.Generator(device).manual_seed(derived_seed(*key))


def numbered_seed(seed: int, purpose: str, number: int) -> int:
    """A seed of 32 bits for one purpose and number, unrelated to its neighbours'."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")

"""Which images a step sees: every image once per epoch, by the seed alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from space.shared.seeds import derived_seed


def batch_indices(count: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """(batch_size,) indices of the step's images: epoch after epoch, each in an order of its own."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // count
    return np.array(
        [
            _permutation(count, seed, int(epoch))[position % count]
            for epoch, position in zip(epochs, positions, strict=True)
        ]
    )


@lru_cache(maxsize=2)  # a batch touches two epochs at most, but for tiny data sets
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derived_seed("order", seed, epoch)).permutation(count)

"""Which images stand where in the endless order of a seed: every image once per epoch.

A place is the number of a sample from the first step on, over all devices: step 3 of a global batch of 8
holds places 24 to 31, whoever reads them. An order is worked out at a place, never walked through to it, so
that going on at any place takes no longer than beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from space.shared.seeds import derived_seed


def indices_at(places: Sequence[int] | np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of the images at these places: epoch after epoch, each in an order of its own."""
    epochs, within = np.divmod(np.asarray(places, dtype=np.int64), count)
    return np.array(
        [_permutation(count, seed, int(epoch))[place] for epoch, place in zip(epochs, within, strict=True)]
    )


@lru_cache(maxsize=2)  # a batch touches two epochs at most, but for tiny data sets
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derived_seed("order", seed, epoch)).permutation(count)


class BlockOrder:
    """The order of samples too many to be shuffled at once: shards in an order of their own for each epoch,
    and what follows so shuffled within blocks.

    Samples near each other lie in few shards, and the memory taken is that of a few numbers a shard and of a
    few blocks.

    Args:
        counts: of samples in each shard; samples are numbered through them.
        block: samples that are shuffled together.
    """

    def __init__(self, counts: Sequence[int] | np.ndarray, block: int) -> None:
        self._counts, self._block_size = np.asarray(counts, dtype=np.int64), block
        self._starts = np.cumsum(self._counts) - self._counts
        self._count = int(self._counts.sum())
        self._shards = lru_cache(maxsize=2)(self._shards_of)
        self._block = lru_cache(maxsize=4)(_block)

    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The epochs and the samples of these places."""
        epochs, within = np.divmod(np.asarray(places, dtype=np.int64), self._count)
        samples = [self._sample(int(at), seed, int(epoch)) for epoch, at in zip(epochs, within, strict=True)]
        return epochs, np.array(samples, dtype=np.int64)

    def _sample(self, place: int, seed: int, epoch: int) -> int:
        shards, ends = self._shards(seed, epoch)
        first = place - place % self._block_size
        size = min(self._block_size, self._count - first)
        shuffled = first + int(self._block(size, seed, epoch, first)[place - first])
        at = int(np.searchsorted(ends, shuffled, side="right"))
        shard = shards[at]
        return int(self._starts[shard] + self._counts[shard] + shuffled - ends[at])

    def _shards_of(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards as this epoch has them, and where the samples of each end."""
        order = np.random.default_rng(derived_seed("shards", seed, epoch)).permutation(len(self._counts))
        return order, np.cumsum(self._counts[order])


def _block(size: int, seed: int, epoch: int, first: int) -> np.ndarray:
    return np.random.default_rng(derived_seed("block", seed, epoch, first)).permutation(size)

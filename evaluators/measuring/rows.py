"""A row of numbers a sample, from any batches and workers: what intervals, KID and recall are made from.

Each row is kept under its sample's number, so the order in which batches and workers come does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class SampleRows:
    """Rows of one width, by sample number; float32, as networks give them, or float64 where asked for."""

    def __init__(self, width: int, dtype: type[np.floating] = np.float32) -> None:
        self.width, self.dtype = width, np.dtype(dtype)
        self._indices = np.zeros(0, np.int64)
        self._values = np.zeros((0, width), self.dtype)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, index: int) -> bool:
        return index in self._seen

    @property
    def indices(self) -> np.ndarray:
        """(N,) int64, rising."""
        self._settle()
        return self._indices

    @property
    def values(self) -> np.ndarray:
        """(N, width), in the order of `indices`."""
        self._settle()
        return self._values

    def add(self, indices: Sequence[int] | np.ndarray, rows: np.ndarray) -> None:
        """Take in a batch: the samples' numbers, and (B, width) or, of width 1, (B,) values.

        Raises:
            ValueError: another shape, NaN or infinite values, or a sample that is there already.
        """
        numbers = np.asarray(indices, np.int64)
        rows = np.asarray(rows)
        if self.width == 1 and rows.ndim == 1:
            rows = rows[:, None]
        if rows.shape != (len(numbers), self.width):
            raise ValueError(f"rows of shape {rows.shape}; expected ({len(numbers)}, {self.width})")
        check_finite(rows)
        fresh = set(numbers.tolist())
        if len(fresh) < len(numbers) or fresh & self._seen:
            twice = sorted(fresh & self._seen) or sorted(n for n in fresh if (numbers == n).sum() > 1)
            raise ValueError(f"sample {twice[0]} was given twice")
        self._seen |= fresh
        self._waiting.append((numbers, rows.astype(self.dtype)))

    def merge(self, other: SampleRows) -> None:
        """Take in another worker's rows. Raises ValueError as `add` does."""
        if other.width != self.width:
            raise ValueError(f"rows of width {other.width} do not merge with width {self.width}")
        self.add(other.indices, other.values)

    def _settle(self) -> None:
        if self._waiting:
            indices = np.concatenate([self._indices, *(numbers for numbers, _ in self._waiting)])
            order = np.argsort(indices)
            values = np.concatenate([self._values, *(rows for _, rows in self._waiting)])
            self._indices, self._values, self._waiting = indices[order], values[order], []


def check_finite(rows: np.ndarray) -> None:
    """Raises ValueError where an (N, width) array holds NaN or infinity, and says in how many samples."""
    finite = np.isfinite(rows)
    if not finite.all():
        bad = int((~finite).reshape(len(rows), -1).any(axis=1).sum())
        raise ValueError(f"NaN or infinite features in {bad} of {len(rows)} samples")

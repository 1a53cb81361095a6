"""Times between measured widths: what a stage does is products of its widths, so its time is a sum of them.

Least squares with no negative share, each time weighed by itself, so that errors are shares of it; one that
varies by more than itself, by what it varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SCALE = 1000.0  # channels: terms of one order of magnitude
AT_LEAST = 1e-6  # ms: a part that takes nothing weighs as this


class MeasuredWidths(NamedTuple):
    """Channels in, channels out, ms, and the standard deviation of these."""

    inputs: int
    outputs: int
    ms: float
    spread: float = 0.0


def _terms(inputs: NDArray[np.float64], outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    i, o = inputs / SCALE, outputs / SCALE
    return np.stack([np.ones_like(i), i, o, i * o, o * o], axis=-1)


@dataclass(frozen=True)
class TimesByWidth:
    """ms of a stage by its channels in and out, within what was measured."""

    shares: tuple[float, ...]
    inputs: tuple[int, int]
    outputs: tuple[int, int]

    @classmethod
    def of(cls, rows: Sequence[MeasuredWidths]) -> TimesByWidth:
        from scipy.optimize import nnls

        columns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
        inputs, outputs, times, spreads = columns
        # What drowns in noise, and came out as nothing, would else pull all others to nothing.
        weights = 1 / np.maximum(np.maximum(times, spreads), AT_LEAST)
        shares, _ = nnls(_terms(inputs, outputs) * weights[:, None], times * weights)
        return cls(
            tuple(map(float, shares)),
            (int(inputs.min()), int(inputs.max())),
            (int(outputs.min()), int(outputs.max())),
        )

    def __call__(self, inputs: int, outputs: int) -> float:
        """Raises ValueError outside of what was measured."""
        for name, width, (least, most) in (("in", inputs, self.inputs), ("out", outputs, self.outputs)):
            if not least <= width <= most:
                raise ValueError(
                    f"{width} channels {name} are outside of the {least} to {most}"
                    if least < most
                    else f"{width} channels {name} are not the {least}"
                )
        terms = _terms(np.array(float(inputs)), np.array(float(outputs)))
        return float(terms @ np.array(self.shares))

    @staticmethod
    def held_out(rows: Sequence[MeasuredWidths]) -> list[float]:
        """Each row inside the others, predicted by them: the error as a share of its time."""
        found = []
        for index, row in enumerate(rows):
            others = [*rows[:index], *rows[index + 1 :]]
            if len(others) < 2 or not row.ms:
                continue
            try:
                found.append(abs(TimesByWidth.of(others)(row.inputs, row.outputs) - row.ms) / row.ms)
            except ValueError:
                continue
        return found

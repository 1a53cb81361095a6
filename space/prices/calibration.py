"""What sums of parts miss of whole networks: an overhead and a factor, fitted to some that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

import numpy as np

from space.candidates import Candidate, candidate_from_plain
from space.shared.plain import InputError


@dataclass(frozen=True)
class MeasuredNetwork:
    """A network measured whole: `count` times, their mean and standard deviation, in ms."""

    architecture: dict[str, Any]
    count: int
    mean_ms: float
    spread_ms: float

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"count: {self.count} is not possible; allowed: 1 or more")
        if not (isfinite(self.mean_ms) and self.mean_ms > 0):
            raise InputError(f"mean_ms: {self.mean_ms} is no time; allowed: more than 0 milliseconds")
        if not (isfinite(self.spread_ms) and self.spread_ms >= 0):
            raise InputError(f"spread_ms: {self.spread_ms} is no time; allowed: 0 or more milliseconds")
        _ = self.network  # says what is wrong with it

    @property
    def network(self) -> Candidate:
        return candidate_from_plain(self.architecture, "architecture")


def calibration(sums: Sequence[float], whole: Sequence[float]) -> tuple[float, float]:
    """Overhead in ms and factor, neither negative, that come nearest to whole networks, as shares of them;
    the factor alone of fewer than three networks, and where their times do not grow with the sums."""
    from scipy.optimize import nnls

    if not whole:
        return 0.0, 1.0
    measured = np.array(whole)
    alone = fmean(measured / np.array(sums))
    if len(whole) < 3:
        return 0.0, alone
    rows = np.stack([np.ones(len(whole)), np.array(sums)], axis=1)
    (overhead, factor), _ = nnls(rows / measured[:, None], np.ones(len(whole)))
    return (float(overhead), float(factor)) if factor else (0.0, alone)

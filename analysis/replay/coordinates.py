"""A point of the space as a vector: what is near, and what a model of the space reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from space.choices import Space
from space.search_space import step_of


class Coordinates:
    """Each free choice of a space in [0, 1]: one column for an evenly spaced number, by its place in the
    range; otherwise a column a value, 0 or 1/2, so that two different values are 1 apart."""

    def __init__(self, space: Space) -> None:
        self.free = space.free()

    def __call__(self, params: Mapping[str, Any]) -> np.ndarray:
        """(D,) float64."""
        columns: list[float] = []
        for name, values in self.free.items():
            place = values.index(params[name])
            if step_of(values) is not None:
                columns.append(place / (len(values) - 1))
            else:
                columns += [0.5 * (index == place) for index in range(len(values))]
        return np.array(columns)


def coordinate_distances(points: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(N, D) and (D,) to (N,): how many choices apart, a choice of numbers counting by how far."""
    found: np.ndarray = np.abs(points - point).sum(axis=1)
    return found

"""How well edges follow those that were asked for."""

from __future__ import annotations

import numpy as np


def edge_f1(edges: np.ndarray, wanted: np.ndarray, tolerance_px: int = 1) -> np.ndarray:
    """(N, H, W) bool twice to (N,): harmonic mean of the share of edges that lie by a wanted one (precision),
    and of wanted ones that lie by an edge (recall); by: at most so many pixels off, across, down and
    diagonally. Without any edge it is 1 where none was wanted, else 0."""
    precise = _share(edges, _widened(wanted, tolerance_px))
    recalled = _share(wanted, _widened(edges, tolerance_px))
    both = precise + recalled
    found: np.ndarray = np.where(both > 0, 2 * precise * recalled / np.where(both > 0, both, 1), 0.0)
    return found


def _share(of: np.ndarray, inside: np.ndarray) -> np.ndarray:
    total, hits = of.sum(axis=(1, 2)), (of & inside).sum(axis=(1, 2))
    nothing = ~inside.any(axis=(1, 2))
    found: np.ndarray = np.where(total > 0, hits / np.maximum(total, 1), nothing.astype(float))
    return found


def _widened(edges: np.ndarray, by: int) -> np.ndarray:
    from scipy import ndimage

    if by == 0:
        return edges
    side = 2 * by + 1
    found: np.ndarray = ndimage.maximum_filter(edges, (1, side, side), mode="constant")
    return found

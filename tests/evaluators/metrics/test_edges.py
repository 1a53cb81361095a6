"""How edges agree with those asked for, by hand and beside a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.metrics.edges import edge_f1


def at(*pixels: tuple[int, int]) -> np.ndarray:
    edges = np.zeros((1, 6, 6), bool)
    for pixel in pixels:
        edges[0][pixel] = True
    return edges


@pytest.mark.parametrize(
    ("edges", "wanted", "tolerance_px", "f1"),
    [
        (at((1, 1), (1, 2)), at((1, 1), (1, 2)), 0, 1.0),
        (at((1, 1), (4, 4)), at((1, 1)), 0, 2 / 3),  # half of them right, the one found
        (at((1, 1)), at((2, 2)), 0, 0.0),
        (at((1, 1)), at((2, 2)), 1, 1.0),
        (at((1, 1)), at((1, 3)), 1, 0.0),
        (at((1, 1)), at((1, 3)), 2, 1.0),
        (at((0, 0)), at((0, 1), (5, 5)), 1, 2 / 3),
        (at(), at(), 1, 1.0),
        (at(), at((0, 0)), 1, 0.0),
        (at((0, 0)), at(), 1, 0.0),
    ],
)
def test_by_hand(edges: np.ndarray, wanted: np.ndarray, tolerance_px: int, f1: float) -> None:
    assert edge_f1(edges, wanted, tolerance_px).tolist() == [pytest.approx(f1)]


def test_beside_a_loop_over_pixels() -> None:
    edges, wanted = np.random.default_rng(0).random((2, 20, 9, 7)) < 0.15

    def share(of: np.ndarray, inside: np.ndarray) -> float:
        near = [abs(np.argwhere(inside) - pixel).max(axis=1).min() <= 1 for pixel in np.argwhere(of)]
        return float(np.mean(near))

    for one, other, found in zip(edges, wanted, edge_f1(edges, wanted), strict=True):
        precise, recalled = share(one, other), share(other, one)
        assert found == pytest.approx(2 * precise * recalled / (precise + recalled))

"""Canny edges: beside a plain reading of the algorithm, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from space.shared.edges import canny, check_thresholds
from space.shared.plain import InputError


def step(rows: list[int]) -> np.ndarray:
    """(1, H, 8, 3): black on the left, so bright on the right in each row."""
    image = np.zeros((1, len(rows), 8, 3), np.uint8)
    image[0, :, 4:] = np.array(rows)[:, None, None]
    return image


def test_a_step_is_one_edge_on_its_dark_side() -> None:
    expected = np.zeros((1, 5, 8), bool)
    expected[0, :, 3] = True  # gradients of both sides are equal: the first is taken
    assert np.array_equal(canny(step([200] * 5)), expected)


def test_a_weak_edge_counts_where_it_hangs_together_with_a_strong_one() -> None:
    assert not canny(step([30] * 8)).any()  # 4 x 30 is above 100, and not above 200
    assert canny(step([60] * 4 + [30] * 4))[0, 7, 3]
    assert canny(step([30] * 8), low=100, high=100)[0, :, 3].all()
    assert not canny(step([25] * 8), low=100, high=100).any()  # 4 x 25 is not above


def test_all_directions_and_channels_are_those_of_a_plain_reading() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 14, 11, 3)).astype(np.uint8) // 3
    found = canny(images)
    assert found.any() and not found.all()
    assert np.array_equal(found, np.stack([plainly(image.astype(int), 100, 200) for image in images]))


def plainly(image: np.ndarray, low: int, high: int) -> np.ndarray:
    height, width, channels = image.shape
    slopes = {}
    for y in range(height):
        for x in range(width):
            each = [slope(image[..., channel], y, x) for channel in range(channels)]
            slopes[y, x] = max(each, key=lambda pair: abs(pair[0]) + abs(pair[1]))
    size = {place: abs(dx) + abs(dy) for place, (dx, dy) in slopes.items()}
    kept = {place for place in slopes if size[place] > low and is_top(place, slopes[place], size)}
    edges = {place for place in kept if size[place] > high}
    while more := {place for place in kept - edges if any(touch(place, edge) for edge in edges)}:
        edges |= more
    return np.array([[(y, x) in edges for x in range(width)] for y in range(height)])


def slope(image: np.ndarray, y: int, x: int) -> tuple[int, int]:
    def at(down: int, across: int) -> int:
        inside = min(max(y + down, 0), image.shape[0] - 1), min(max(x + across, 0), image.shape[1] - 1)
        return int(image[inside])

    weights = ((-1, 1), (0, 2), (1, 1))
    dx = sum(weight * (at(k, 1) - at(k, -1)) for k, weight in weights)
    dy = sum(weight * (at(1, k) - at(-1, k)) for k, weight in weights)
    return dx, dy


def is_top(place: tuple[int, int], along: tuple[int, int], size: dict[tuple[int, int], int]) -> bool:
    (y, x), (dx, dy), own = place, along, size[place]
    angle = math.degrees(math.atan2(abs(dy), abs(dx)))
    if angle < 22.5:
        return own > size.get((y, x - 1), 0) and own >= size.get((y, x + 1), 0)
    if angle > 67.5:
        return own > size.get((y - 1, x), 0) and own >= size.get((y + 1, x), 0)
    side = -1 if (dx < 0) != (dy < 0) else 1
    return own > size.get((y - 1, x - side), 0) and own > size.get((y + 1, x + side), 0)


def touch(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) == 1


def test_thresholds_that_cannot_be() -> None:
    for low, high in ((-1, 3), (5, 4)):
        with pytest.raises(InputError, match=rf"low: {low}, high: {high}; allowed: 0 or more"):
            check_thresholds(low, high)

"""Canny edges (Canny, 1986) of 8-bit images, those that OpenCV finds: for adapters to follow, and as truth.

Gradients are 3 x 3 Sobel's, of the channel in which they are largest, their size |dx| + |dy|. Of those above
`low` that are the largest along their direction, all that hang together with one above `high` are edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from space.shared.plain import InputError

LOW, HIGH = 100, 200  # what people use for ControlNet
_SHIFT = 15
_TANGENT = int(0.4142135623730950488016887242097 * (1 << _SHIFT) + 0.5)  # of 22.5 degrees


def check_thresholds(low: int, high: int) -> None:
    """Raises InputError."""
    if not 0 <= low <= high:
        raise InputError(f"low: {low}, high: {high}; allowed: 0 or more, and low no more than high")


def canny(images: NDArray[np.uint8], low: int = LOW, high: int = HIGH) -> NDArray[np.bool_]:
    """(B, H, W, C) images to (B, H, W): where an edge is."""
    return np.stack([_edges(image, low, high) for image in images])


def _edges(image: NDArray[np.uint8], low: int, high: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    dx, dy = _gradient(image)
    size = abs(dx) + abs(dy)
    kept = (size > low) & _is_largest(dx, dy, size)
    names, _ = ndimage.label(kept, structure=np.ones((3, 3), int))
    strong = np.unique(names[kept & (size > high)])
    edges: NDArray[np.bool_] = np.isin(names, strong[strong > 0])
    return edges


def _gradient(image: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(H, W) each, across and down, of the first channel in which they are largest."""
    padded = np.pad(image.astype(np.int64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    dx = across[:-2] + 2 * across[1:-1] + across[2:]
    dy = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    channel = (abs(dx) + abs(dy)).argmax(axis=2)[..., None]
    return np.take_along_axis(dx, channel, 2)[..., 0], np.take_along_axis(dy, channel, 2)[..., 0]


def _is_largest(dx: NDArray[np.int64], dy: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Along the direction of the gradient: across, down or one of the diagonals."""
    around = np.pad(size, 1)
    x, y = abs(dx), abs(dy) << _SHIFT
    flat, steep = x * _TANGENT, x * _TANGENT + (x << (_SHIFT + 1))

    def beside(down: int, across: int) -> NDArray[np.int64]:
        height, width = size.shape
        return around[1 + down : 1 + down + height, 1 + across : 1 + across + width]

    horizontal = (size > beside(0, -1)) & (size >= beside(0, 1))
    vertical = (size > beside(-1, 0)) & (size >= beside(1, 0))
    falling = (size > beside(-1, -1)) & (size > beside(1, 1))
    rising = (size > beside(-1, 1)) & (size > beside(1, -1))
    diagonal = np.where((dx < 0) != (dy < 0), rising, falling)
    result: NDArray[np.bool_] = np.where(y < flat, horizontal, np.where(y > steep, vertical, diagonal))
    return result

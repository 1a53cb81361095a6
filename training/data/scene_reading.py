"""What does an image show? Scenes are read by their renderer: the nearest of all that it could render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from training.data.scenes import BACKGROUNDS, COLOURS, POSITIONS, SHAPES, SIZES, Scene, all_scenes, render

JITTERS = np.array(list(product((-2 / 3, 0, 2 / 3), repeat=3)), np.float32)  # across, down, of size


@dataclass(frozen=True)
class SceneReading:
    """What is nearest to an image: a scene, filled or outlined."""

    scene: Scene
    is_filled: bool


def scene_of(caption: str) -> Scene | None:
    """None where a caption is none of a scene."""
    return _BY_CAPTION.get(caption)


def read_scenes(images: np.ndarray, told: Sequence[Scene]) -> list[SceneReading]:
    """What (B, H, W, 3) uint8 images show, if place and background are what each was told: the least square
    error among sizes, colours, shapes and both styles, each with 27 jitters."""
    found: list[SceneReading | None] = [None] * len(told)
    for key in sorted({(scene.place, scene.background) for scene in told}):
        rows = [row for row, scene in enumerate(told) if (scene.place, scene.background) == key]
        names, templates = _templates(*key, images.shape[1])
        templates = templates.astype(np.float32)
        pixels = images[rows].reshape(len(rows), -1).astype(np.float32)
        errors = (templates**2).sum(axis=1)[None] - 2 * pixels @ templates.T
        for row, nearest in zip(rows, errors.argmin(axis=1), strict=True):
            found[row] = names[nearest]
    return [reading for reading in found if reading is not None]


@lru_cache(maxsize=len(POSITIONS) * len(BACKGROUNDS))
def _templates(place: str, background: str, image_size_px: int) -> tuple[list[SceneReading], np.ndarray]:
    """(N, H x W x 3) uint8, and what each shows; 4.5 MB at 24 px."""
    scenes = [Scene(*words, place, background) for words in product(SIZES, COLOURS, SHAPES)]
    each = [scene for scene in scenes for _ in JITTERS]
    jitter = np.tile(JITTERS, (len(scenes), 1))
    names, images = list[SceneReading](), list[np.ndarray]()
    for is_filled in (True, False):
        images.append(render(each, jitter, image_size_px, is_filled=is_filled))
        names += [SceneReading(scene, is_filled) for scene in each]
    return names, np.concatenate(images).reshape(len(names), -1)


_BY_CAPTION = {scene.caption: scene for scene in all_scenes()}

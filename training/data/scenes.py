"""Rendered, captioned scenes: one object of a size, colour and shape, somewhere on a background.

720 captions (2 sizes x 6 colours x 4 shapes x 5 places x 3 backgrounds). Small enough that a network learns
them in a minute on one core, rich enough that text is needed: only the caption tells where, what and how.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from space.shared.plain import InputError, check_choices, unless
from training.data.base import CommonSettings, InMemory

SIZES = {"small": 0.135, "large": 0.22}  # radius, as a share of the image's side
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 70),
    "blue": (60, 110, 240),
    "yellow": (245, 205, 40),
    "purple": (160, 60, 200),
    "orange": (245, 130, 30),
}
SHAPES = ("circle", "square", "triangle", "cross")
POSITIONS = {
    "in the top left": (0.28, 0.28),
    "in the top right": (0.72, 0.28),
    "in the centre": (0.5, 0.5),
    "in the bottom left": (0.28, 0.72),
    "in the bottom right": (0.72, 0.72),
}
BACKGROUNDS = {"navy": (18, 24, 64), "grey": (120, 124, 128), "cream": (246, 240, 224)}
POSITION_JITTER = 0.04  # of the image's side, each way
SIZE_JITTER = 0.08  # of the radius, each way
LINE = 0.05  # how wide an outline is, as a share of the image's side


class Scene(NamedTuple):
    """What a caption says; where exactly, and how large, only the image shows."""

    size: str
    colour: str
    shape: str
    place: str
    background: str

    @property
    def caption(self) -> str:
        return f"a {self.size} {self.colour} {self.shape} {self.place} on {self.background}"


@dataclass(frozen=True, kw_only=True)
class ScenesSettings(CommonSettings):
    """How many scenes. `seed` is that of their jitter; it does not choose which are held out.

    Scenes go through all captions once before any returns, so the last ones are held out as they stand: both
    splits then hold every caption equally often, with other jitters.
    """

    name: Literal["scenes"] = "scenes"
    scenes: int = 5760  # images rendered, both splits together
    style: Literal["filled", "outline"] = unless("filled")

    held_out_as_they_stand: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        if self.scenes < 8:
            raise InputError(f"scenes: {self.scenes} is not possible; allowed: 8 or more")

    def load(self) -> InMemory:
        captions = scene_captions()
        pixels = render_scenes(self.scenes, self.image_size_px, self.seed, is_filled=self.style == "filled")
        return InMemory(pixels, [captions[i % len(captions)] for i in range(len(pixels))])


def scene_captions() -> list[str]:
    """All 720 captions, in an order of their own (fixed) in which any first part is a fair mixture."""
    captions = [scene.caption for scene in all_scenes()]
    return [captions[index] for index in _order(len(captions))]


def render_scenes(count: int, image_size_px: int, seed: int, *, is_filled: bool = True) -> np.ndarray:
    """(count, image_size_px, image_size_px, 3) uint8: image i shows caption i % 720.

    Position and size of image i are jittered by numbers that depend on `seed` and i alone; edges are
    anti-aliased from the signed distance to the shape. Those that are not filled are lines along that edge.
    """
    scenes = all_scenes()
    chosen = [scenes[index] for index in _order(len(scenes))[np.arange(count) % len(scenes)]]
    jitter = np.random.default_rng([seed, 0x5CE4E5]).uniform(-1, 1, (count, 3)).astype(np.float32)
    return render(chosen, jitter, image_size_px, is_filled=is_filled)


def render(
    scenes: Sequence[Scene], jitter: np.ndarray, image_size_px: int, *, is_filled: bool = True
) -> np.ndarray:
    """(N, image_size_px, image_size_px, 3) uint8 of (N, 3) jitter in [-1, 1]: across, down, and of size."""
    size, colour, shape, place, background = (np.array(column) for column in zip(*scenes, strict=True))
    centre = np.array([POSITIONS[name] for name in place], np.float32) + POSITION_JITTER * jitter[:, :2]
    radius = np.array([SIZES[name] for name in size], np.float32) * (1 + SIZE_JITTER * jitter[:, 2])

    pixel = (np.arange(image_size_px, dtype=np.float32) + 0.5) / image_size_px
    x = pixel[None, None, :] - centre[:, 0, None, None]
    y = pixel[None, :, None] - centre[:, 1, None, None]
    distance = np.empty((len(scenes), image_size_px, image_size_px), np.float32)
    for name in SHAPES:
        rows = shape == name
        distance[rows] = _signed_distance(name, x[rows], y[rows], radius[rows, None, None])
    if not is_filled:
        distance = abs(distance + LINE / 2) - LINE / 2
    cover = np.clip(0.5 - distance * image_size_px, 0, 1)[..., None]

    ink = np.array([COLOURS[name] for name in colour], np.float32)[:, None, None]
    paper = np.array([BACKGROUNDS[name] for name in background], np.float32)[:, None, None]
    return (paper + cover * (ink - paper) + 0.5).astype(np.uint8)


def all_scenes() -> list[Scene]:
    """All 720, without jitter."""
    return [Scene(*words) for words in itertools.product(SIZES, COLOURS, SHAPES, POSITIONS, BACKGROUNDS)]


def _order(count: int) -> np.ndarray:
    return np.random.default_rng(720).permutation(count)


def _signed_distance(shape: str, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Distance to the edge (negative inside), in shares of the image's side; y points down."""
    if shape == "circle":
        return np.hypot(x, y) - radius
    if shape == "square":
        return np.maximum(abs(x), abs(y)) - 0.88 * radius
    if shape == "triangle":
        return np.maximum(y - 0.75 * radius, 0.894 * abs(x) - 0.447 * (y + radius))
    arm = 0.33 * radius
    return np.minimum(
        np.maximum(abs(x) - arm, abs(y) - radius),
        np.maximum(abs(y) - arm, abs(x) - radius),
    )

"""Pictures with captions small enough to train an embedded CLIP on in a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluators.embedded import EmbeddedClip, EmbeddedSettings, embedded_clip
from evaluators.evaluator import Evaluator, EvaluatorSettings
from evaluators.features import ImageFeatures, RandomConv, RandomConvSettings

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 70), "blue": (60, 110, 240), "yellow": (245, 205, 40)}
PLACES = {"top left": (4, 4), "top right": (4, 12), "bottom left": (12, 4), "bottom right": (12, 12)}
CAPTIONS = [f"a {colour} square in the {place}" for colour in COLOURS for place in PLACES]
SIZE_PX = 16


@dataclass(frozen=True)
class Squares:
    """A coloured square in a corner of a grey picture: sixteen captions, jittered by a pixel."""

    images: np.ndarray
    captions: list[str]

    def draw(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        return self.images[np.asarray(indices)], [self.captions[index] for index in indices]


def squares(count: int, seed: int) -> Squares:
    rng = np.random.default_rng(seed)
    images = np.full((count, SIZE_PX, SIZE_PX, 3), 120, np.uint8)
    captions = [CAPTIONS[index % len(CAPTIONS)] for index in range(count)]
    for image, caption in zip(images, captions, strict=True):
        _, colour, _, _, _, *place = caption.split()
        row, column = np.array(PLACES[" ".join(place)]) + rng.integers(-1, 2, 2)
        image[row - 3 : row + 3, column - 3 : column + 3] = COLOURS[colour]
    return Squares(images, captions)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def train() -> Squares:
    return squares(256, seed=1)


@pytest.fixture(scope="session")
def held_out() -> Squares:
    return squares(128, seed=2)


@pytest.fixture(scope="session")
def quick() -> EmbeddedSettings:
    return EmbeddedSettings(steps=80, batch_size=32)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def clip(train: Squares, held_out: Squares, quick: EmbeddedSettings, cache: Path) -> EmbeddedClip:
    return embedded_clip(
        train.draw, len(train.images), held_out.images, held_out.captions, "squares", quick, cache
    )


@pytest.fixture(scope="session", params=["embedded-clip", "random-conv"])
def features(request: pytest.FixtureRequest) -> ImageFeatures:
    """Every feature set; a new one joins here, and must pass the contract."""
    if request.param == "random-conv":
        return RandomConv(RandomConvSettings())
    made: ImageFeatures = request.getfixturevalue("clip")
    return made


@pytest.fixture(scope="session")
def prepared(
    train: Squares,
    held_out: Squares,
    quick: EmbeddedSettings,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Evaluator, Path]:
    """An evaluator of 64 images, and the folder that a worker would load it from."""
    folder = tmp_path_factory.mktemp("evaluator")
    evaluator = Evaluator.prepare(
        folder,
        EvaluatorSettings(images=64, clip=quick),
        train=train.draw,
        train_count=len(train.images),
        held_out_images=held_out.images,
        held_out_captions=held_out.captions,
        data_digest="squares",
        cache_folder=cache,
    )
    return evaluator, folder

"""A model folder of before the refactoring: `before_refactoring` was trained for 300 steps and saved by the
code of then, and images.npz holds what it generated then, from seed 3."""

from pathlib import Path

import numpy as np
import pytest

from training.model import load_model

FOLDER = Path(__file__).parent / "before_refactoring"


@pytest.fixture(scope="module")
def stored():
    with np.load(FOLDER / "images.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(("name", "asked"), [("images", {}), ("guided", {"steps": 3, "guidance": 2.0})])
def test_it_loads_and_generates_the_same_images(stored, name, asked):
    images = load_model(FOLDER, "cpu").generate(list(stored["captions"]), seed=3, **asked)
    assert images.dtype == np.uint8 and images.shape == stored[name].shape
    difference = np.abs(images.astype(int) - stored[name])
    assert difference.max() <= 1  # a processor of another make may round at another place
    assert (difference > 0).mean() < 0.001
    assert stored[name].std() > 50  # images, not an even grey

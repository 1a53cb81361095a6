"""What every feature set must keep to, whatever it looks at."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.features import ImageFeatures
from evaluators.fid import Moments, frechet_distance


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (150, 16, 16, 3)).astype(np.uint8)


def test_describes_itself(features: ImageFeatures, pictures: np.ndarray) -> None:
    values = features(pictures[:3])
    assert values.shape == (3, features.width) and values.dtype == np.float64
    assert features.name and len(features.digest) == 16


def test_equal_images_get_equal_features(features: ImageFeatures, pictures: np.ndarray) -> None:
    assert np.array_equal(features(pictures), features(pictures.copy()))
    assert not np.array_equal(features(pictures[:1]), features(pictures[1:2]))


def test_neither_the_batch_nor_its_order_matters(features: ImageFeatures, pictures: np.ndarray) -> None:
    whole = features(pictures)
    split = np.concatenate([features(pictures[:1]), features(pictures[1:70]), features(pictures[70:])])
    backwards = features(pictures[::-1])[::-1]
    scale = np.abs(whole).max()
    assert np.abs(split - whole).max() <= 1e-6 * scale
    assert np.abs(backwards - whole).max() <= 1e-6 * scale


def test_images_are_left_as_they_are(features: ImageFeatures, pictures: np.ndarray) -> None:
    before = pictures.copy()
    features(pictures)
    assert np.array_equal(before, pictures)


def test_identical_sets_are_at_distance_zero(features: ImageFeatures, pictures: np.ndarray) -> None:
    a, b = Moments.of(features(pictures)), Moments.of(features(pictures[::-1]))
    assert frechet_distance(a, b) <= 1e-6 * np.trace(a.covariance)


def test_different_sets_are_apart(features: ImageFeatures, pictures: np.ndarray) -> None:
    a, b = Moments.of(features(pictures)), Moments.of(features(pictures // 2))
    assert frechet_distance(a, b) > 1e-2 * np.trace(a.covariance)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 16, 16, 3), np.float32), "uint8 array, got float32"),
        (np.zeros((2, 3, 16, 16), np.uint8), r"\(N, H, W, 3\)"),
        (np.zeros((16, 16, 3), np.uint8), r"\(N, H, W, 3\)"),
        (np.zeros((0, 16, 16, 3), np.uint8), "not be empty"),
        ([[[[0, 0, 0]]]], "uint8 array, got list"),
    ],
)
def test_other_input_is_refused(features: ImageFeatures, wrong: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        features(wrong)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_images_give_a_number(features: ImageFeatures, pictures: np.ndarray, value: int) -> None:
    constant = features(np.full((60, 16, 16, 3), value, np.uint8))
    reference = Moments.of(features(pictures))
    assert np.isfinite(constant).all()
    distance = frechet_distance(Moments.of(constant), reference)
    assert np.isfinite(distance)
    centre = np.sum((constant[0] - reference.mean) ** 2) + np.trace(reference.covariance)
    assert distance == pytest.approx(centre, rel=1e-9)  # a point against a Gaussian


def test_fewer_samples_than_features_give_a_number(features: ImageFeatures, pictures: np.ndarray) -> None:
    reference = Moments.of(features(pictures))
    assert np.isfinite(frechet_distance(Moments.of(features(pictures[:2])), reference))
    with pytest.raises(ValueError, match="two samples or more in each set, got 1"):
        frechet_distance(Moments.of(features(pictures[:1])), reference)

"""Images and captions of both splits, their digest and vocabulary."""

from __future__ import annotations

import subprocess
import sys

import torch

from training.data.dataset import Dataset
from training.data.factory import load_data
from training.data.scenes import ScenesSettings


def test_images_are_floats_between_minus_one_and_one(scenes: Dataset) -> None:
    images, captions = scenes.train([0, 5, 7])
    assert images.shape == (3, 3, 16, 16) and images.dtype == torch.float32
    assert -1 <= images.min() < -0.5 and 0.5 < images.max() <= 1
    assert captions == [scenes.train_captions[i] for i in (0, 5, 7)]


def test_digest_is_equal_in_another_process_and_follows_the_content(scenes: Dataset) -> None:
    code = (
        "from training.data.factory import load_data; from training.data.scenes import ScenesSettings;"
        "print(load_data(ScenesSettings(scenes=960, image_size_px=16)).digest)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == scenes.digest
    assert load_data(ScenesSettings(scenes=960, image_size_px=16, seed=1)).digest != scenes.digest
    assert load_data(ScenesSettings(scenes=959, image_size_px=16)).digest != scenes.digest


def test_vocabulary_holds_the_words_of_the_training_captions(scenes: Dataset) -> None:
    assert {"a", "large", "red", "circle", "navy", "centre"} <= set(scenes.vocabulary)
    assert scenes.vocabulary == sorted(set(scenes.vocabulary)) and "" not in scenes.vocabulary

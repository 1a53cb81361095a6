"""Images and captions of both splits, their digest and vocabulary."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from space.shared.plain import InputError
from training.data.base import CommonSettings, InMemory
from training.data.captions import words
from training.data.dataset import Dataset, SplitImages, split_images
from training.data.emoji import EmojiSettings
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


# ---------------------------------------------------------------------- held out where its words are taught


def taught(share: float, seed: int = 0) -> CommonSettings:
    return EmojiSettings(image_size_px=8, held_out_share=share, seed=seed)


@pytest.mark.parametrize("seed", range(50))
def test_no_word_of_a_held_out_caption_is_without_a_training_caption(seed: int) -> None:
    """Over random captions of few words, with variants."""
    rng = np.random.default_rng(seed)
    captions = [" ".join(rng.choice(list("abcdefgh"), rng.integers(1, 4))) for _ in range(30)]
    variant_of = rng.integers(0, 20, len(captions))
    trained, held_out, fewer = split_images(variant_of, captions, taught(0.5, seed))
    assert sorted([*trained, *held_out]) == list(range(len(captions)))
    assert not {variant_of[i] for i in trained} & {variant_of[i] for i in held_out}
    assert {w for i in trained for w in words(captions[i])} == {w for c in captions for w in words(c)}
    variants = len(set(variant_of.tolist()))
    assert len({variant_of[i] for i in held_out}) == round(variants / 2) - fewer


def test_fewer_are_held_out_where_words_would_be_untaught_and_that_is_said() -> None:
    captions = ["red apple", "green apple", "red", "green", "pear"]  # the last must be trained on
    trained, held_out, fewer = split_images(range(5), captions, taught(0.8))
    assert {captions[i] for i in trained} >= {"pear"} and (len(held_out), fewer) == (4 - fewer, fewer)
    assert {w for i in trained for w in words(captions[i])} == {"red", "green", "apple", "pear"}
    images = InMemory(np.zeros((5, 8, 8, 3), np.uint8), captions)
    [line] = SplitImages(taught(0.8), images).notes()
    assert line.startswith(f"held out: {len(held_out)} images; {fewer} more (near copies as one) were")


def test_where_every_caption_has_a_word_of_its_own_none_can_be_held_out() -> None:
    with pytest.raises(InputError, match=r"each of the 3 captions has a word of its own.*more images"):
        split_images(range(3), ["red apple", "green pear", "cat"], taught(0.5))
    assert len(split_images(range(3), ["red apple", "green pear", "cat"], ScenesSettings())[1]) == 1

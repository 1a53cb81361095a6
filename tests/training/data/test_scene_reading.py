"""Scenes are read as they were rendered."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.scene_reading import read_scenes, scene_of
from training.data.scenes import Scene, render, render_scenes, scene_captions

CAPTIONS = scene_captions()[:60]
TOLD = [scene for caption in CAPTIONS if (scene := scene_of(caption)) is not None]


@pytest.mark.parametrize("is_filled", [True, False])
def test_what_was_rendered_is_read_under_noise_too(is_filled: bool) -> None:
    images = render_scenes(60, 24, 9, is_filled=is_filled)  # of jitters that no template has
    noise = np.random.default_rng(0).normal(0, 20, images.shape)
    for seen in (images, np.clip(images + noise, 0, 255).astype(np.uint8)):
        found = read_scenes(seen, TOLD)
        assert [reading.scene.caption for reading in found] == CAPTIONS
        assert np.mean([reading.is_filled == is_filled for reading in found]) > 0.9


def test_what_is_read_is_what_is_there_not_what_was_told() -> None:
    there = Scene("large", "green", "cross", "in the centre", "grey")
    told = there._replace(size="small", colour="red", shape="circle")
    image = render([there], np.zeros((1, 3), np.float32), 24)
    (found,) = read_scenes(image, [told])
    assert (found.scene, found.is_filled) == (there, True)


def test_other_captions_are_of_no_scene() -> None:
    assert scene_of("a red apple") is None
    assert scene_of(TOLD[0].caption) == TOLD[0]

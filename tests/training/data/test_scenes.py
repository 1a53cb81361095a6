"""Scenes show what their captions say."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.factory import load_data
from training.data.scenes import BACKGROUNDS, COLOURS, ScenesSettings, render_scenes, scene_captions


def test_scenes_have_720_captions_and_both_splits_show_all_of_them() -> None:
    data = load_data(ScenesSettings())
    assert len(set(scene_captions())) == 720
    assert set(data.train_captions) == set(data.held_out_captions) == set(scene_captions())
    assert len(data.train_captions) == 4320 and len(data.held_out_captions) == 1440


def test_a_scene_shows_what_its_caption_says() -> None:
    captions, images = scene_captions(), render_scenes(720, 32, seed=3)
    rows = {"top": 0.28, "centre": 0.5, "bottom": 0.72}
    columns = {"left": 0.28, "centre": 0.5, "right": 0.72}
    areas: dict[str, list[int]] = {"small": [], "large": []}
    for caption, image in zip(captions, images, strict=True):
        words = caption.split()
        ink, paper = np.array(COLOURS[words[2]]), np.array(BACKGROUNDS[words[-1]])
        assert abs(image[0, 0] - paper).max() <= 1
        is_ink = abs(image.astype(int) - ink).max(axis=2) <= 1
        y, x = (np.nonzero(is_ink)[axis].mean() / 32 for axis in (0, 1))
        assert abs(y - next(rows[word] for word in words if word in rows)) < 0.1
        assert abs(x - next(columns[word] for word in reversed(words) if word in columns)) < 0.1
        areas[words[1]].append(int(is_ink.sum()))
    assert np.mean(areas["large"]) > 2 * np.mean(areas["small"])


def test_shapes_differ_by_the_area_that_geometry_gives_them() -> None:
    """Of a circle of radius r: pi r^2; a square (1.76 r)^2; a cross of arms 0.66 r: 4 * .66 - .66^2 ..."""
    captions, images = scene_captions(), render_scenes(720, 128, seed=0)
    r = 0.22 * 128
    for shape, area in {
        "circle": np.pi * r**2,
        "square": (1.76 * r) ** 2,
        "cross": (2 * 2 * 0.66 - 0.66**2) * r**2,
        "triangle": 0.5 * (1.75 * r) ** 2,
    }.items():
        inked = [
            (abs(image.astype(int) - image[0, 0]).max(axis=2) > 60).sum()
            for caption, image in zip(captions, images, strict=True)
            if f" {shape} " in caption and "large" in caption and "blue" in caption
        ]
        assert np.mean(inked) == pytest.approx(area, rel=0.12), shape


def test_train_and_held_out_scenes_share_no_image() -> None:
    data = load_data(ScenesSettings(scenes=1440))
    train, _ = data.train(range(len(data.train_captions)))
    held_out, _ = data.held_out(range(len(data.held_out_captions)))
    seen = {image.numpy().tobytes() for image in train}
    assert not seen & {image.numpy().tobytes() for image in held_out}


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    assert (render_scenes(50, 16, seed=1) == render_scenes(90, 16, seed=1)[:50]).all()
    assert (render_scenes(50, 16, seed=1) != render_scenes(50, 16, seed=2)).any()


def test_an_outline_is_a_line_along_the_edge_of_what_is_filled() -> None:
    lines, filled = render_scenes(60, 64, seed=1, is_filled=False), render_scenes(60, 64, seed=1)
    paper = filled[:, :1, :1].astype(int)
    inked, area = (abs(each.astype(int) - paper).max(axis=3) > 30 for each in (lines, filled))
    assert (inked <= area).all() and 0.1 < inked.sum() / area.sum() < 0.8
    data = load_data(ScenesSettings(scenes=720, image_size_px=16, style="outline"))
    assert data.digest != load_data(ScenesSettings(scenes=720, image_size_px=16)).digest

"""Digits are captioned by their label."""

from __future__ import annotations

import numpy as np
import torch

from training.data.digits import DIGITS, DigitsSettings
from training.data.factory import load_data


def test_digits_are_captioned_by_their_label() -> None:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    data = load_data(DigitsSettings(image_size_px=32))
    assert len(data.train_captions) + len(data.held_out_captions) == 1797
    images, captions = data.held_out(range(40))
    # Shrunk back, an image is nearest to the scan that it was made of, whose label its caption says.
    small = torch.nn.functional.interpolate(images, size=8, mode="area")[:, 0].flatten(1).numpy()
    distance = np.linalg.norm(small[:, None] - (scans / 8 - 1)[None], axis=2)
    for caption, label in zip(captions, labels[distance.argmin(axis=1)], strict=True):
        assert DIGITS[label] in caption.split()

"""scikit-learn's bundled handwritten digits, with captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.data.base import CommonSettings, InMemory

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_TEMPLATES = ("a handwritten {}", "the digit {}", "a scan of a handwritten {}")


@dataclass(frozen=True, kw_only=True)
class DigitsSettings(CommonSettings):
    """The 1,797 scans (8x8, 16 greys) that scikit-learn bundles, enlarged, white on black."""

    name: Literal["digits"] = "digits"

    def load(self) -> InMemory:
        from PIL import Image
        from sklearn.datasets import load_digits

        scans, labels = load_digits(return_X_y=True)
        side = (self.image_size_px, self.image_size_px)
        grey = [
            np.asarray(Image.fromarray(scan).resize(side, Image.Resampling.BICUBIC))
            for scan in (scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        ]
        captions = [
            DIGIT_TEMPLATES[index % len(DIGIT_TEMPLATES)].format(DIGITS[label])
            for index, label in enumerate(labels)
        ]
        return InMemory(np.repeat(np.stack(grey)[..., None], 3, axis=3), captions)

"""Captioned pictures by name: rendered scenes, handwritten digits, or a folder of your own.

Whatever they are, a `Dataset` gives pictures as (B, 3, H, W) float32 in [-1, 1] beside their captions, from
two splits that share no picture: one to train on, one held out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from space.shared.plain import InputError
from training.folder import open_folder
from training.scenes import render_scenes, scene_captions


@dataclass(frozen=True)
class DataSettings:
    """Which pictures, how large, and how many of them are held out."""

    name: Literal["scenes", "digits", "folder"] = "scenes"
    image_size_px: int = 24
    held_out_share: float = 0.25  # of the pictures, never trained on
    scenes: int = 5760  # pictures rendered, both splits together; `scenes` only
    seed: int = 0  # of the scenes' jitter, and of which pictures are held out
    folder: str | None = None  # of the images; `folder` only, as is what follows
    captions: str | None = None  # file of captions; the default is captions.jsonl, .csv or .tsv in the folder
    max_unreadable_share: float = 0.05  # of the images; above it loading stops
    memory_mib: int = 1024  # decoded images beyond this are read from disk for each batch

    def __post_init__(self) -> None:
        if self.image_size_px < 8:
            raise InputError(f"image_size_px: {self.image_size_px} is not possible; allowed: 8 or more")
        if not 0 < self.held_out_share < 1:
            raise InputError(f"held_out_share: {self.held_out_share}; allowed: between 0 and 1")
        if not 0 <= self.max_unreadable_share <= 1:
            raise InputError(f"max_unreadable_share: {self.max_unreadable_share}; allowed: 0 to 1")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not possible; allowed: 0 or more")
        if self.scenes < 8:
            raise InputError(f"scenes: {self.scenes} is not possible; allowed: 8 or more")
        if self.name == "folder" and not self.folder:
            raise InputError("folder: missing; data of the name 'folder' needs the folder of the images")


class Pictures(Protocol):
    """Where pictures come from: `pixels(indices)` is (B, H, W, 3) uint8."""

    captions: list[str]
    unreadable: list[str]

    def pixels(self, indices: Sequence[int]) -> np.ndarray: ...

    def content(self) -> Iterable[bytes | memoryview]:
        """What identifies the pictures, for the digest."""
        ...


class InMemory:
    """Pictures drawn or decoded once, (N, H, W, 3) uint8."""

    def __init__(self, pixels: np.ndarray, captions: list[str]) -> None:
        self._pixels, self.captions = pixels, captions
        self.unreadable: list[str] = []

    def pixels(self, indices: Sequence[int]) -> np.ndarray:
        return self._pixels[np.asarray(indices, dtype=np.int64)]

    def content(self) -> Iterable[bytes | memoryview]:
        return [np.ascontiguousarray(self._pixels).data]


class Dataset:
    """Captioned pictures in two splits.

    Attributes:
        name: of the settings.
        digest: sixteen hexadecimal digits of the pictures, captions and split; equal in every process.
        image_size_px: height and width.
        train_captions, held_out_captions: one for each picture, in the order of the indices.
        unreadable: names of files that could not be read and were left out.
    """

    def __init__(self, settings: DataSettings, pictures: Pictures) -> None:
        self.name, self.image_size_px = settings.name, settings.image_size_px
        self.unreadable = pictures.unreadable
        self._pictures = pictures
        self._train, self._held_out = _split(len(pictures.captions), settings)
        self.train_captions = [pictures.captions[index] for index in self._train]
        self.held_out_captions = [pictures.captions[index] for index in self._held_out]
        self.digest = self._digest()

    def train(self, indices: Sequence[int] | np.ndarray | Tensor) -> tuple[Tensor, list[str]]:
        """Pictures, (B, 3, H, W) float32 in [-1, 1], and captions of the training split."""
        return self._take(self._train, indices)

    def held_out(self, indices: Sequence[int] | np.ndarray | Tensor) -> tuple[Tensor, list[str]]:
        """Pictures, (B, 3, H, W) float32 in [-1, 1], and captions of the held-out split."""
        return self._take(self._held_out, indices)

    @property
    def vocabulary(self) -> list[str]:
        """The words of the training captions, sorted."""
        return sorted({word for caption in set(self.train_captions) for word in words(caption)})

    def _take(
        self, split: np.ndarray, indices: Sequence[int] | np.ndarray | Tensor
    ) -> tuple[Tensor, list[str]]:
        chosen = split[np.asarray(indices, dtype=np.int64)]
        pixels = torch.from_numpy(self._pictures.pixels(chosen.tolist()))
        images = pixels.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)
        return images, [self._pictures.captions[index] for index in chosen]

    def _digest(self) -> str:
        content = hashlib.sha256()
        for part in self._pictures.content():
            content.update(part)
        content.update(json.dumps([self.image_size_px, self.train_captions, self.held_out_captions]).encode())
        return content.hexdigest()[:16]


def load_data(settings: DataSettings) -> Dataset:
    """The pictures that the settings name.

    Raises:
        InputError: a missing folder, captions of the wrong form (with the line), too many unreadable images.
    """
    if settings.name == "scenes":
        captions = scene_captions()
        pixels = render_scenes(settings.scenes, settings.image_size_px, settings.seed)
        return Dataset(settings, InMemory(pixels, [captions[i % len(captions)] for i in range(len(pixels))]))
    if settings.name == "digits":
        return Dataset(settings, _digits(settings.image_size_px))
    assert settings.folder is not None
    pictures = open_folder(
        settings.folder,
        settings.captions,
        settings.image_size_px,
        max_unreadable_share=settings.max_unreadable_share,
        memory_mib=settings.memory_mib,
    )
    return Dataset(settings, pictures)


def words(caption: str) -> list[str]:
    """Lower-case words of a caption, without the punctuation around them."""
    stripped = (word.strip(".,;:!?\"'()") for word in caption.lower().split())
    return [word for word in stripped if word]


def _split(count: int, settings: DataSettings) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and held out, each in an order in which any first part is a fair sample.

    Scenes go through all captions once before any returns, so the last ones are held out as they stand: both
    splits then hold every caption equally often, with other jitters.
    """
    held_out = min(max(1, round(count * settings.held_out_share)), count - 1)
    if count < 2:
        raise InputError(f"{settings.name}: {count} picture; needed: 2 or more (one is held out)")
    order = np.arange(count)
    if settings.name != "scenes":
        order = np.random.default_rng([settings.seed, 0x5B117]).permutation(count)
    return order[: count - held_out], order[count - held_out :]


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_TEMPLATES = ("a handwritten {}", "the digit {}", "a scan of a handwritten {}")


def _digits(image_size_px: int) -> InMemory:
    """The 1,797 scans (8x8, 16 greys) that scikit-learn bundles, enlarged, white on black."""
    from PIL import Image
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    side = (image_size_px, image_size_px)
    grey = [
        np.asarray(Image.fromarray(scan).resize(side, Image.Resampling.BICUBIC))
        for scan in (scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    ]
    captions = [
        DIGIT_TEMPLATES[index % len(DIGIT_TEMPLATES)].format(DIGITS[label])
        for index, label in enumerate(labels)
    ]
    return InMemory(np.repeat(np.stack(grey)[..., None], 3, axis=3), captions)

"""Captioned images in two splits that share no image: one to train on, one held out."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from space.shared.plain import InputError, first_few
from training.data.base import CommonSettings, ImageSource
from training.data.captions import words
from training.data.order import indices_at

Indices = Sequence[int] | np.ndarray | Tensor


class Examples(NamedTuple):
    """What a network learns from: images and captions; or, encoded ahead, latents and features.

    `features` are (B, L, W) of the captions, `empty` (L, W) of the empty caption; None where `inputs` are
    images.
    """

    inputs: Tensor
    captions: list[str]
    features: Tensor | None = None
    empty: Tensor | None = None


class Dataset(ABC):
    """Captioned images in two splits that share none: what training, searching and scoring see of them.

    An image of several captions is held out with its first one alone: what is held out counts images, none of
    which is trained on.

    Attributes:
        name: of the settings.
        digest: sixteen hexadecimal digits of the images, captions and split; equal in every process.
        image_size_px: height and width.
        train_captions: in the order of the indices.
        held_out_captions: one for each image, in the order of the indices.
        train_images: how many images the training captions are of.
        unreadable: names of images that could not be read and were left out.
        encoders: digests of the folders that its latents and features come from, by the settings that name
            them in a training; none of images.
        latent_space: what made its latents, where that is known.
    """

    name: str
    digest: str
    image_size_px: int
    train_captions: Sequence[str]
    held_out_captions: list[str]
    train_images: int
    unreadable: list[str]
    encoders: Mapping[str, str] = MappingProxyType({})
    latent_space: Mapping[str, Any] | None = None

    def examples(self, places: Sequence[int] | np.ndarray, seed: int) -> Examples:
        """What a network learns from at these places, as `at`."""
        return Examples(*self.at(places, seed))

    def held_out_examples(self, indices: Sequence[int]) -> Examples:
        return Examples(*self.held_out(indices))

    def decoded_by(self, decode: Callable[[Tensor], Tensor]) -> Dataset:
        """The same, with images where it holds latents: `decode` makes those, as `train`, of these."""
        return self

    @abstractmethod
    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> tuple[Tensor, list[str]]:
        """What stands at these places of the endless order of a seed: images and captions, as `train`.

        A place is the number of a sample over all steps and devices (see `training.data.order`).
        """

    @abstractmethod
    def train(self, indices: Indices) -> tuple[Tensor, list[str]]:
        """Images, (B, 3, H, W) float32 in [-1, 1], and captions of the training split."""

    @abstractmethod
    def one_caption_each(self, indices: Sequence[int]) -> tuple[Tensor, list[str]]:
        """As `train`, but the indices are those of images, and each comes with its first caption."""

    @abstractmethod
    def held_out(self, indices: Indices) -> tuple[Tensor, list[str]]:
        """Images, (B, 3, H, W) float32 in [-1, 1], and captions of the held-out split."""

    @abstractmethod
    def notes(self) -> list[str]:
        """What lies there and is not trained on, and whatever else has to be known of it, in lines."""

    @property
    @abstractmethod
    def vocabulary(self) -> list[str]:
        """The words of the training captions, sorted."""


class SplitImages(Dataset):
    """Images whose captions are all known from the start. An index is that of a caption.

    An image of several captions is trained on with each of them.

    Attributes:
        train_captions: those of an image beside each other.
        first_captions: (train_images,) indices of the first training caption of each image.
    """

    def __init__(self, settings: CommonSettings, images: ImageSource) -> None:
        self.name, self.image_size_px = settings.name, settings.image_size_px
        self.unreadable = images.unreadable
        self._images, self._image_of = images, np.asarray(images.image_of, dtype=np.int64)
        first = np.unique(self._image_of, return_index=True)[1]
        own_captions = [images.captions[index] for index in first]
        trained, held_out, self._fewer = split_images(images.variant_of, own_captions, settings)
        self.train_images = len(trained)
        self._train, self._held_out = _captions_of(trained, self._image_of), first[held_out]
        self.first_captions = np.sort(np.unique(self._image_of[self._train], return_index=True)[1])
        self.train_captions = [images.captions[index] for index in self._train]
        self.held_out_captions = [images.captions[index] for index in self._held_out]
        self.digest = self._digest()

    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> tuple[Tensor, list[str]]:
        return self.train(indices_at(places, len(self.train_captions), seed))

    def train(self, indices: Indices) -> tuple[Tensor, list[str]]:
        return self._take(self._train, indices)

    def one_caption_each(self, indices: Sequence[int]) -> tuple[Tensor, list[str]]:
        return self.train(self.first_captions[list(indices)])

    def held_out(self, indices: Indices) -> tuple[Tensor, list[str]]:
        return self._take(self._held_out, indices)

    def notes(self) -> list[str]:
        """What lies there and is not trained on, and what is held out though a copy of it is trained on:
        counted and named, in lines; a folder is looked through."""
        unreadable = f"unreadable: {len(self.unreadable):,} ({first_few(self.unreadable)})"
        lines = ([unreadable] if self.unreadable else []) + [str(self._images.passed_over())]
        copies = self._copies_held_out()
        held_out = f"held out though a copy is trained on: {len(copies):,} ({first_few(copies)})"
        left_out = [f"left out, {line}" for line in lines if line]
        fewer = (
            f"held out: {len(self._held_out):,} images; {self._fewer:,} more (near copies as one) were asked "
            "for, but every other caption has a word that nothing else would teach"
        )
        return [
            *self._images.remarks,
            *left_out,
            *([held_out] if copies else []),
            *([fewer] if self._fewer else []),
        ]

    def _copies_held_out(self) -> list[str]:
        """Names of held-out images that have a copy under another name in the training split."""
        copies = self._images.copies()  # each with the others of its pixels
        trained = set(self._image_of[self._train].tolist())
        return [
            copies[n][0]
            for n in self._image_of[self._held_out].tolist()
            if not trained.isdisjoint(copies.get(n, ("", ()))[1])
        ]

    @property
    def vocabulary(self) -> list[str]:
        return words_of(self.train_captions)

    def _take(self, split: np.ndarray, indices: Indices) -> tuple[Tensor, list[str]]:
        chosen = split[np.asarray(indices, dtype=np.int64)]
        images = as_floats(self._images.pixels(self._image_of[chosen].tolist()))
        return images, [self._images.captions[index] for index in chosen]

    def _digest(self) -> str:
        content = hashlib.sha256()
        for part in self._images.content():
            content.update(part)
        content.update(json.dumps([self.image_size_px, self.train_captions, self.held_out_captions]).encode())
        if self.train_images < len(self.train_captions):
            content.update(self._image_of[self._train].tobytes())
        return content.hexdigest()[:16]


def as_floats(pixels: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)


def as_pixels(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] to (N, H, W, 3) uint8."""
    bounded = images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return bounded.permute(0, 2, 3, 1).contiguous().numpy()


def words_of(captions: Iterable[str]) -> list[str]:
    """The words of captions, each once, sorted."""
    return sorted({word for caption in set(captions) for word in words(caption)})


def split_images(
    variant_of: Sequence[int], captions: Sequence[str], settings: CommonSettings
) -> tuple[np.ndarray, np.ndarray, int]:
    """Images to train on and held out, each in an order in which any first part is a fair sample, and by how
    many the latter are fewer than asked for. All variants of one image are on one side; the share held out is
    of those that are no variants.

    Args:
        captions: of each image, one.

    Raises:
        InputError: fewer than two images, or none that may be held out.
    """
    names, own = np.unique(np.asarray(variant_of), return_inverse=True)
    count = len(names)
    if count < 2:
        raise InputError(f"{settings.name}: {count} image; needed: 2 or more (one is held out)")
    asked = held_out = min(max(1, round(count * settings.held_out_share)), count - 1)
    order, rng = np.arange(count), np.random.default_rng([settings.seed, 0x5B117])
    if not settings.held_out_as_they_stand:
        order = rng.permutation(count)
    if settings.held_out_words_are_taught:
        order, held_out = _taught_last(order, own, captions, held_out)
        if not held_out:
            raise InputError(
                f"{settings.name}: each of the {count} captions has a word of its own, so that none can be "
                "held out whose words are taught; needed: more images"
            )
    trained, held = order[: count - held_out], order[count - held_out :]
    if count == len(own):
        return trained, held, asked - held_out
    sides = [rng.permutation(np.flatnonzero(np.isin(own, side))) for side in (trained, held)]
    return sides[0], sides[1], asked - held_out


def _taught_last(
    order: np.ndarray, own: np.ndarray, captions: Sequence[str], at_most: int
) -> tuple[np.ndarray, int]:
    """The order with those variants last whose words all stand in captions of the others before them, and how
    many these are; the last of the order are tried first."""
    words_of_variant: list[Counter[str]] = [Counter() for _ in order]
    for variant, caption in zip(own.tolist(), captions, strict=True):
        words_of_variant[variant].update(set(words(caption)))
    left = sum(words_of_variant, Counter[str]())
    held: list[int] = []
    for variant in reversed(order.tolist()):
        its = words_of_variant[variant]
        if len(held) < at_most and all(left[word] > count for word, count in its.items()):
            left.subtract(its)
            held.append(variant)
    return np.array([*(v for v in order.tolist() if v not in set(held)), *reversed(held)]), len(held)


def _captions_of(images: np.ndarray, image_of: np.ndarray) -> np.ndarray:
    """All captions of these images, in the order of the images."""
    place = np.full(image_of.max() + 1, -1)
    place[images] = np.arange(len(images))
    captions = np.flatnonzero(place[image_of] >= 0)
    return captions[np.argsort(place[image_of[captions]], kind="stable")]

"""Captioned images of any number, in whatever form and wherever they lie, read as they are trained on.

Nothing but a list of them (`sources.index`) is made before training begins. What a place of the order shows
depends on seed, epoch and place alone: shards and blocks are shuffled by them (`order`), and of an image with
several captions they choose one.

An image that cannot be read is named, and the next one of its split stands in its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from space.shared.caches import cache_folder
from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError, first_few, from_plain
from training.data.dataset import Dataset, Indices, as_floats, words_of
from training.data.sources.forms import Form
from training.data.sources.images import SourceImages
from training.data.sources.index import Index, open_index
from training.data.sources.place import open_place
from training.data.sources.recognise import DataFormat, Reading, recognise
from training.data.split import BLOCK_SAMPLES, LazyTexts, ListedSettings, Split, chosen_caption

TRIED_NEXT, TRIED_SINGLY = 64, 8  # images after one that cannot be read; of which the first follow each other
HELD_OUT_AT_ONCE = 64  # images to hold out


@dataclass(frozen=True, kw_only=True)
class StreamSettings(ListedSettings):
    """Captioned images as they come."""

    name: Literal["stream"] = "stream"
    source: str  # a folder, a file, a pattern, or an address
    format: DataFormat = "auto"
    captions: str | None = None  # a file of them, of captions and coco; None: as it is usually called
    images: str | None = None  # the folder of the images, inside the source
    caption_field: str | None = None
    image_field: str | None = None
    max_unreadable_share: float = 0.05
    memory_mib: int = 1024
    patience_seconds: float = 600.0
    cache_folder: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.source:
            raise InputError("source: missing; data of the name 'stream' needs the place of the images")
        if not 0 <= self.max_unreadable_share <= 1:
            raise InputError(f"max_unreadable_share: {self.max_unreadable_share}; allowed: 0 to 1")
        for name in ("memory_mib", "patience_seconds"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 0 or more")

    def load(self) -> Dataset:
        form = self.form()
        return Stream(self, form, open_index(form, self.kept_in()))

    def form(self) -> Form:
        """Raises InputError where nothing can be read there."""
        reading = Reading(
            self.format,
            self.captions,
            self.images,
            self.caption_field,
            self.image_field,
            self.memory_mib * 2**20,
        )
        form = recognise(open_place(self.source, self.patience_seconds), reading)
        form.listed_anew_by = command_line("data", self.source, **self._of_the_list(), relist=True)
        return form

    def _of_the_list(self) -> dict[str, str]:
        """What decides which list is read, beside the source."""
        names = ("format", "captions", "images", "caption_field", "image_field", "cache_folder")
        usual = {each.name: each.default for each in fields(self)}
        return {f"data.{name}": value for name in names if (value := getattr(self, name)) != usual[name]}

    def kept_in(self) -> Path:
        return cache_folder(self.cache_folder, "data")

    @property
    def title(self) -> str:
        return Path(self.source).name or self.name

    def absolute(self) -> StreamSettings:
        if "://" in self.source:
            return self
        captions = self.captions
        if captions is not None and Path(captions).is_file():  # else inside the source
            captions = str(Path(captions).resolve())
        return replace(self, source=str(Path(self.source).expanduser().absolute()), captions=captions)


def stream_settings(plain: Mapping[str, Any]) -> StreamSettings:
    """Of a command that reads nothing else. Raises InputError for another kind of data set."""
    if (name := plain.get("name")) != StreamSettings.name:
        raise InputError(f"data: {name!r} is nothing to look at or to encode; allowed: {StreamSettings.name}")
    settings: StreamSettings = from_plain(StreamSettings, plain, "data")
    return settings


class Stream(Dataset):
    """Images that are read when they are asked for. An index is that of an image."""

    def __init__(self, settings: StreamSettings, form: Form, index: Index) -> None:
        self.name, self.image_size_px = settings.name, settings.image_size_px
        self._settings, self._index = settings, index
        self._images = SourceImages(
            form, index, settings.image_size_px, settings.max_unreadable_share, settings.memory_mib * 2**20
        )
        self.unreadable = self._images.unreadable
        self._block = _block(settings, form)
        self._split = Split(index.counts, settings, self._block)
        self._held_out = self._readable(self._split.held_out)
        self.train_images = self._split.train_images
        self._texts = LazyTexts(self.train_images, lambda sample: self._caption(self._split.image(sample)))
        self.train_captions = self._texts
        self.held_out_captions = [self._caption(image) for image in self._held_out.tolist()]
        self.digest = self._digest()

    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> tuple[Tensor, list[str]]:
        epochs, samples = self._split.at(places, seed)
        images, pixels = self._whole(samples)
        captions = []
        for image, epoch in zip(images, epochs, strict=True):
            own = self._index.captions_of(image)
            captions.append(own[chosen_caption(len(own), seed, epoch, image)])
        return as_floats(pixels), captions

    def train(self, indices: Indices) -> tuple[Tensor, list[str]]:
        """With the first caption of each."""
        images, pixels = self._whole(np.asarray(indices, dtype=np.int64).tolist())
        return as_floats(pixels), [self._caption(image) for image in images]

    def one_caption_each(self, indices: Sequence[int]) -> tuple[Tensor, list[str]]:
        return self.train(indices)

    def held_out(self, indices: Indices) -> tuple[Tensor, list[str]]:
        images = self._held_out[np.asarray(indices, dtype=np.int64)].tolist()
        pixels = self._images.pixels(images)
        for image, found in zip(images, pixels, strict=True):
            if isinstance(found, str):
                raise InputError(f"{self._index.located(image).name}: cannot be read any more: {found}")
        whole = np.stack([found for found in pixels if not isinstance(found, str)])
        return as_floats(whole), [self._caption(image) for image in images]

    def notes(self) -> list[str]:
        index = self._index
        lines = [
            f"{self._settings.source}: {len(index):,} images with {index.captions:,} captions in "
            f"{len(index.parts):,} parts, read as {index.form}"
        ]
        if index.left_out.counts:
            lines.append(f"left out, {index.left_out}")
        if self.unreadable:
            lines.append(f"left out, unreadable: {len(self.unreadable):,} ({first_few(self.unreadable)})")
        return lines

    @cached_property
    def vocabulary(self) -> list[str]:
        """Of the first captions of images from all over the source."""
        return words_of(self._texts.spread())

    def _caption(self, image: int) -> str:
        return self._index.captions_of(image)[0]

    def _whole(self, samples: Sequence[int]) -> tuple[list[int], np.ndarray]:
        """Numbers of images, and their pixels: of a sample that cannot be read, the next one that can."""
        images = [self._split.image(sample) for sample in samples]
        pixels = self._images.pixels(images)
        for at, sample in enumerate(samples):
            tried = 0
            while isinstance(found := pixels[at], str):
                self._images.tell_unreadable(images[at], found)
                tried += 1
                if tried > TRIED_NEXT:
                    raise InputError(f"data.source: {tried} images after one cannot be read: {found}")
                images[at] = self._split.image((sample + _on_from(tried)) % self.train_images)
                (pixels[at],) = self._images.pixels([images[at]])
        return images, np.stack([found for found in pixels if not isinstance(found, str)])

    def _readable(self, images: np.ndarray) -> np.ndarray:
        """Those of the images to hold out that can be read, all of which are read once to know it."""
        key = hashlib.sha256(images.tobytes()).hexdigest()[:16]
        known = self._index.folder / f"held-out-{key}.json"
        if known.is_file():
            return np.array(json.loads(known.read_text(encoding="utf-8")), np.int64)
        readable = []
        for first in range(0, len(images), HELD_OUT_AT_ONCE):
            some = images[first : first + HELD_OUT_AT_ONCE].tolist()
            for image, found in zip(some, self._images.pixels(some), strict=True):
                if isinstance(found, str):
                    self._images.tell_unreadable(image, found)
                else:
                    readable.append(image)
        if not readable:
            raise none_held_out(len(images), self._settings.held_out_share)
        write_whole(known, json.dumps(readable))
        return np.array(readable, np.int64)

    def _digest(self) -> str:
        of = [self._index.digest, self.image_size_px, self._held_out.tolist(), self._block]
        return hashlib.sha256(json.dumps([self.name, *of]).encode()).hexdigest()[:16]


def _on_from(tried: int) -> int:
    """How far on the image of this try is: the next, and ever further, since whole groups of rows may be
    torn."""
    return tried if tried <= TRIED_SINGLY else TRIED_SINGLY + 2 ** (tried - TRIED_SINGLY)


def none_held_out(count: int, share: float) -> InputError:
    return InputError(
        f"data.source: none of {count:,} images to hold out can be read; another data.seed, or a "
        f"data.held_out_share above {share:g}, holds out others"
    )


def _block(settings: StreamSettings, form: Form) -> int:
    """As set; else as usual, or as many samples as can be kept where an image is read with its neighbours."""
    read = form.image_bytes()
    if read is None:
        return settings.block_samples or BLOCK_SAMPLES
    fits = max(1, settings.memory_mib * 2**20 // max(1, read))
    if settings.block_samples is not None and settings.block_samples > fits:
        raise InputError(
            f"block_samples: {settings.block_samples:,} of {read:,} bytes would be read again and again, "
            f"each with its row group; allowed: at most {fits:,} with memory_mib: {settings.memory_mib}"
        )
    return settings.block_samples or min(BLOCK_SAMPLES, fits)

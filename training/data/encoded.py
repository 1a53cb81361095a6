"""Latents and text features that `mdsearch encode` made, in the place of images and captions.

Order, split, and which caption of an image is shown are as of a stream of images. Rows are read at their
place, so that a step waits for no encoder.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from space.shared.caches import cache_folder
from space.shared.image_files import PassedOver
from space.shared.plain import InputError, unless
from space.shared.retries import storage_error
from training.data.dataset import Dataset, Examples, Indices, words_of
from training.data.encoded_files import (
    ENCODING_NAME,
    FEATURES_TENSOR,
    LATENTS_TENSOR,
    SHARD_NAMES,
    Encoding,
    listed_images,
    read_empty,
    read_encoding,
)
from training.data.sources.forms import Listable, ListedImage, Listing, Located
from training.data.sources.index import Index, open_index
from training.data.sources.place import DataPlace, open_place
from training.data.split import BLOCK_SAMPLES, LazyTexts, ListedSettings, Split, chosen_caption

OPEN_SHARDS = 256
SIZE = "{px}"


@dataclass(frozen=True, kw_only=True)
class EncodedSettings(ListedSettings):
    """What `mdsearch encode` wrote. `{px}` in the folder's name stands for the images' size."""

    name: Literal["encoded"] = "encoded"
    folder: str
    cache_folder: str | None = None
    patience_seconds: float = unless(600.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folder:
            raise InputError("folder: missing; data of the name 'encoded' needs what mdsearch encode wrote")
        if not self.patience_seconds >= 0:
            raise InputError(f"patience_seconds: {self.patience_seconds} is not possible; allowed: 0 or more")

    @property
    def place(self) -> Path:
        """The folder of this size of images."""
        return Path(self.folder.replace(SIZE, str(self.image_size_px))).expanduser()

    def load(self) -> Dataset:
        folder = self.place
        encoding = read_encoding(folder)
        if encoding is None:
            raise InputError(
                f"data.folder: {str(folder)!r} holds no {ENCODING_NAME}, which mdsearch encode writes"
            )
        shards = len(list(folder.glob(SHARD_NAMES)))
        if shards < encoding.shards:
            raise InputError(
                f"data.folder: {str(folder)!r} holds {shards:,} of {encoding.shards:,} shards; mdsearch "
                "encode, called as before, makes the others"
            )
        if encoding.image_size_px != self.image_size_px:
            raise InputError(
                f"data.image_size_px: {self.image_size_px}, but {str(folder)!r} was encoded from images of "
                f"{encoding.image_size_px}; needed: {encoding.image_size_px}"
            )
        place = replace(open_place(str(folder), self.patience_seconds), setting="data.folder")
        index = open_index(EncodedShards(place, encoding), cache_folder(self.cache_folder, "data"))
        return Encoded(self, index, encoding, place)

    @property
    def title(self) -> str:
        return self.place.name or self.name

    def absolute(self) -> EncodedSettings:
        return replace(self, folder=str(Path(self.folder).expanduser().absolute()))


class EncodedShards(Listable):
    """An image's `offset` is its row of latents, its `size` the row of its first caption's features."""

    name, options = "encoded", ()

    def __init__(self, place: DataPlace, encoding: Encoding) -> None:
        self.place, self._encoding = place, encoding

    def files(self) -> list[str]:
        return [ENCODING_NAME, *self._shards()]

    def parts(self) -> Iterator[tuple[str, Listing]]:
        return ((name, partial(self._items, name)) for name in self._shards())

    def _shards(self) -> list[str]:
        return sorted(file.name for file in Path(self.place.root).glob(SHARD_NAMES))

    def _items(self, name: str, left_out: PassedOver) -> Iterator[ListedImage]:
        file, row = Path(self.place.root) / name, 0
        listed = listed_images(_opened(str(file)), self._encoding, file)
        for number, (image, captions) in enumerate(listed):
            yield ListedImage(image, captions, number, row)
            row += len(captions)


class Encoded(Dataset):
    """Latents and features, read when they are asked for; images are latents, decoded (`decoded_by`)."""

    def __init__(self, settings: EncodedSettings, index: Index, encoding: Encoding, place: DataPlace) -> None:
        self.name, self.image_size_px, self.unreadable = settings.name, settings.image_size_px, []
        self.encoders, self.latent_space = encoding.encoders, encoding.latents
        self._folder, self._index, self._encoding, self._place = settings.place, index, encoding, place
        self._empty = read_empty(self._folder).float()
        block = settings.block_samples or BLOCK_SAMPLES
        self._split = Split(index.counts, settings, block)
        self.train_images = self._split.train_images
        self._texts = LazyTexts(self.train_images, lambda sample: self._caption(self._split.image(sample)))
        self.train_captions = self._texts
        held_out = self._split.held_out.tolist()
        self.held_out_captions = [self._caption(image) for image in held_out]
        of = [index.digest, encoding.deciding, held_out, block]
        self.digest = hashlib.sha256(json.dumps([self.name, *of]).encode()).hexdigest()[:16]
        self._shard = lru_cache(maxsize=OPEN_SHARDS)(_opened)
        self._decode: Callable[[Tensor], Tensor] | None = None

    def examples(self, places: Sequence[int] | np.ndarray, seed: int) -> Examples:
        epochs, samples = self._split.at(places, seed)
        chosen = []
        for sample, epoch in zip(samples, epochs, strict=True):
            image = self._split.image(sample)
            count = len(self._index.captions_of(image))
            chosen.append((image, chosen_caption(count, seed, epoch, image)))
        return self._read(chosen)

    def held_out_examples(self, indices: Sequence[int]) -> Examples:
        return self._read([(int(image), 0) for image in self._split.held_out[list(indices)]])

    def _read(self, chosen: Sequence[tuple[int, int]]) -> Examples:
        """Of images, by their numbers, with one caption each. Raises StorageAway as a `DataPlace`."""
        return self._place.patiently(lambda: self._read_now(chosen))

    def _read_now(self, chosen: Sequence[tuple[int, int]]) -> Examples:
        located = [self._index.located(image) for image, _ in chosen]
        latents = torch.stack([self._row(each, LATENTS_TENSOR, each.offset) for each in located])
        features = torch.stack(
            [
                self._row(each, FEATURES_TENSOR, each.size + caption)
                for each, (_, caption) in zip(located, chosen, strict=True)
            ]
        )
        captions = [self._index.captions_of(image)[caption] for image, caption in chosen]
        return Examples(latents.float(), captions, features.float(), self._empty)

    def _row(self, located: Located, tensor: str, row: int) -> Tensor:
        shard = self._shard(str(self._folder / located.part))
        found: Tensor = shard.get_slice(tensor)[row : row + 1][0]
        return found

    def _caption(self, image: int) -> str:
        return self._index.captions_of(image)[0]

    def notes(self) -> list[str]:
        return [
            f"{self._folder}: latents of {len(self._index):,} images of {self.image_size_px} px, with "
            f"features of {self._index.captions:,} captions, in {self._encoding.precision}"
        ]

    @cached_property
    def vocabulary(self) -> list[str]:
        return words_of(self._texts.spread())

    def decoded_by(self, decode: Callable[[Tensor], Tensor]) -> Encoded:
        shown = copy.copy(self)
        shown._decode = decode
        return shown

    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> tuple[Tensor, list[str]]:
        return self._images(self.examples(places, seed))

    def train(self, indices: Indices) -> tuple[Tensor, list[str]]:
        """With the first caption of each."""
        samples = np.asarray(indices, dtype=np.int64).tolist()
        return self._images(self._read([(self._split.image(sample), 0) for sample in samples]))

    def one_caption_each(self, indices: Sequence[int]) -> tuple[Tensor, list[str]]:
        return self.train(indices)

    def held_out(self, indices: Indices) -> tuple[Tensor, list[str]]:
        return self._images(self.held_out_examples(np.asarray(indices, dtype=np.int64).tolist()))

    def _images(self, examples: Examples) -> tuple[Tensor, list[str]]:
        if self._decode is None:
            raise InputError(
                f"data: {str(self._folder)!r} holds latents, and images are asked for; allowed: data=stream"
            )
        return self._decode(examples.inputs), examples.captions


def _opened(file: str) -> Any:
    """A shard. Raises InputError where it is torn, or gone alone; OSError where its storage is."""
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except FileNotFoundError:
        if not (Path(file).parent / ENCODING_NAME).is_file():
            raise
        raise InputError(
            f"{file}: is not there any more; mdsearch encode, called as before, makes it again"
        ) from None
    except OSError:
        raise
    except SafetensorError as error:
        if trouble := storage_error(error):  # whose number it says in its text alone
            raise trouble from None
        raise InputError(
            f"{file}: is torn or cannot be read: {error}; deleted, mdsearch encode makes it again"
        ) from None

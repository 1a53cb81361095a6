"""Latents and text features of captioned images, made once by frozen encoders and written in shards.

A shard is a range of the list of images, so that what is there already need not be made again, and a kill
loses one shard.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from space.shared.plain import InputError
from training.data.ahead import ahead
from training.data.dataset import as_floats
from training.data.encoded_files import (
    EMPTY_NAME,
    ENCODING_NAME,
    STORED_DTYPES,
    Encoding,
    read_encoding,
    shard_path,
    write_encoding,
    write_shard,
)
from training.data.sources.images import SourceImages
from training.latents import Codec
from training.text import TextEncoder


@dataclass
class _Shard:
    """What a shard is to hold, batch after batch."""

    latents: list[Tensor] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)

    def write(self, file: Path, encoding: Encoding) -> None:
        latents, features = torch.cat(self.latents), torch.cat(self.features)
        write_shard(file, encoding, latents, features, self.names, self.captions)


@dataclass(frozen=True)
class Encoder:
    """Encodes the images of a list into a folder.

    Attributes:
        batch_size: images, and captions, that are encoded at once.
        device: of codec and text encoder.
    """

    images: SourceImages
    codec: Codec
    text: TextEncoder
    encoding: Encoding
    folder: Path
    batch_size: int
    device: torch.device

    def missing(self) -> list[tuple[int, range]]:
        """The shards that are not there yet, and the numbers of the images of each."""
        of = self.encoding
        numbers = [number for number in range(of.shards) if not shard_path(self.folder, number).is_file()]
        return [
            (number, range(number * of.shard_images, min((number + 1) * of.shard_images, of.images)))
            for number in numbers
        ]

    def run(self, advance: Callable[[int], None] = lambda count: None) -> int:
        """Write the missing shards; returns how many images they are of.

        Args:
            advance: told how many more were encoded, or could not be read.

        Raises:
            InputError: the folder holds another encoding, too many images cannot be read, or numbers that
                are stored overflow.
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_folder()
        write_encoding(self.folder, self.encoding, self._features([""])[0])
        missing = self.missing()
        with closing(self._pixels(missing)) as pixels, torch.no_grad():
            for number, images in missing:
                shard = _Shard()
                for some in self._batches(images):
                    self._add(shard, some, next(pixels))
                    advance(len(some))
                shard.write(shard_path(self.folder, number), self.encoding)
        return sum(len(images) for _, images in missing)

    def _batches(self, images: range) -> list[range]:
        return [images[first : first + self.batch_size] for first in range(0, len(images), self.batch_size)]

    def _pixels(self, missing: Sequence[tuple[int, range]]) -> Generator[list[np.ndarray | str], None, None]:
        """Of every batch in turn, read while others are encoded."""
        batches = [some for _, images in missing for some in self._batches(images)]
        return ahead(lambda number: self.images.pixels(batches[number]), range(len(batches)))

    def _add(self, shard: _Shard, numbers: range, pixels: Sequence[np.ndarray | str]) -> None:
        """The images that can be read; the others are named."""
        whole = []
        for number, found in zip(numbers, pixels, strict=True):
            if isinstance(found, str):
                self.images.tell_unreadable(number, found)
                continue
            whole.append(found)
            shard.names.append(self.images.index.located(number).name)
            shard.captions.append(self.images.index.captions_of(number))
        size = self.encoding.image_size_px
        pixels_of = np.stack(whole) if whole else np.empty((0, size, size, 3), np.uint8)
        shard.latents.append(self._latents(as_floats(pixels_of)))
        every = [text for captions in shard.captions[len(shard.captions) - len(whole) :] for text in captions]
        shard.features.append(self._features(every))

    def _latents(self, images: Tensor) -> Tensor:
        if not len(images):
            side = self.encoding.image_size_px // self.codec.factor
            return self._stored(torch.empty(0, self.codec.channels, side, side), "latents")
        return self._stored(self.codec.encode(images.to(self.device)), "latents")

    @torch.no_grad()
    def _features(self, captions: list[str]) -> Tensor:
        """(M, L, W), a batch at a time."""
        starts = range(0, len(captions), self.batch_size)
        parts = [self.text.encode(captions[first : first + self.batch_size]).cpu() for first in starts]
        none = torch.empty(0, self.text.length, self.text.width)
        return self._stored(torch.cat([none, *parts]), "text features")

    def _stored(self, values: Tensor, what: str) -> Tensor:
        """In the precision of the files. Raises InputError where a number is none any more."""
        precision = self.encoding.precision
        stored = values.detach().cpu().to(STORED_DTYPES[precision])
        if not stored.isfinite().all():
            raise InputError(f"precision: {what} are not finite in {precision}; allowed: bf16, or fp32")
        return stored

    def _check_folder(self) -> None:
        before = read_encoding(self.folder)
        others = {file.name for file in self.folder.iterdir() if file.name[0] != "."} - {EMPTY_NAME}
        if before is None and others:  # but for what a kill leaves
            raise InputError(f"out: {str(self.folder)!r} holds other files; choose an empty or a new folder")
        for name, value in self.encoding.deciding.items():
            if before is not None and getattr(before, name) != value:
                raise InputError(
                    f"out: {str(self.folder)!r} holds an encoding of another {name} "
                    f"({getattr(before, name)}) than this one ({value}), says {ENCODING_NAME}; choose another"
                )

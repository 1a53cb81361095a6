"""Anybody's images: a folder, an .npz or webdataset shards, read one by one without holding them all.

Files come in natural order (`img2` before `img10`), shards in theirs. How a file becomes pixels stands in
:mod:`space.shared.decoding`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluators.images.npz import NpzImages
from evaluators.images.shards import ShardImages, expand_shards
from evaluators.images.stamps import file_stamp
from space.shared.decoding import Unreadable, decode_image, image_size
from space.shared.file_names import natural_order
from space.shared.image_files import PassedOver, files_under, printable
from space.shared.plain import InputError

SIZES_AT_ONCE = 1024  # images whose headers are read before they are compared


class ImageSet(Protocol):
    """Images in a fixed order, each read when it is asked for. Safe to read from several threads."""

    names: list[str]  # one per image, for messages and for finding its caption
    passed_over: PassedOver  # what lies among the images and is none

    def read(self, index: int) -> bytes:
        """What identifies the image: its file's bytes, or its pixels. Raises Unreadable."""
        ...

    def decode(self, content: bytes) -> np.ndarray:
        """What `read` gave as (H, W, 3) uint8. Raises Unreadable."""
        ...

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height, found without decoding; None where that cannot be."""
        ...

    def stamp(self, index: int) -> str:
        """Changes when the image's file does, and is found without reading it."""
        ...

    def caption_files(self) -> list[tuple[str, str, str]]:
        """(image, file, its text) of the caption files in shards; none in other sets."""
        ...


def open_images(source: str, field: str = "images") -> ImageSet:
    """The images at `source`: a folder of images or of .tar shards, an .npz, a .tar, or a pattern of .tar.

    Args:
        source: `samples/`, `samples.npz`, `shards/`, `shards/{000..009}.tar` or `shards/*.tar`.
        field: the setting's name, for messages.

    Raises:
        InputError: nothing there, no image in it, or a form that is none of these.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        images: ImageSet = _open_folder(path, field)
    elif path.suffix == ".npz":
        images = NpzImages(path, field)
    elif path.suffix == ".tar":
        images = ShardImages(expand_shards(str(path), field), field)
    else:
        known = "a folder, an .npz, a .tar or a pattern of .tar"
        what = f"is a file of another kind than {known}" if path.is_file() else f"does not exist (as {known})"
        raise InputError(f"{field}: {source!r} {what}")
    if not images.names:
        raise InputError(f"{field}: {source!r} holds no image{_what_it_holds(path, images.passed_over)}")
    return images


def _open_folder(folder: Path, field: str) -> ImageSet:
    """Of shards, or of images. Raises InputError where it holds both."""
    try:
        shards = natural_order(file.name for file in folder.iterdir() if file.suffix == ".tar")
    except OSError as error:
        raise InputError(f"{field}: {str(folder)!r} cannot be read: {error}") from None
    images = ImageFolder(folder, field, shards)
    if shards and images.names:
        raise InputError(
            f"{field}: {str(folder)!r} holds images ({images.names[0]}) and shards ({shards[0]}); for the "
            f"shards write {field}='{folder}/*.tar', for the images move the shards away"
        )
    if not shards:
        return images
    return ShardImages([folder / name for name in shards], field, images.passed_over)


class Subset:
    """Some images of a set, in their order there."""

    def __init__(self, images: ImageSet, indices: list[int]) -> None:
        self._images, self._indices = images, indices
        self.names = [images.names[index] for index in indices]
        self.passed_over = images.passed_over

    def read(self, index: int) -> bytes:
        return self._images.read(self._indices[index])

    def decode(self, content: bytes) -> np.ndarray:
        return self._images.decode(content)

    def size(self, index: int) -> tuple[int, int] | None:
        return self._images.size(self._indices[index])

    def stamp(self, index: int) -> str:
        return self._images.stamp(self._indices[index])

    def caption_files(self) -> list[tuple[str, str, str]]:
        own = set(self.names)
        return [found for found in self._images.caption_files() if found[0] in own]


def content_digest(digests: list[bytes]) -> str:
    """Sixteen hexadecimal digits for a whole set, from the SHA-256 of each image in order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def common_side(images: ImageSet, *, cropped: bool) -> int | None:
    """The side that all images have, unreadable ones aside; None where they are not squares of one size.

    Args:
        cropped: they are cut to the square at their centre first.
    """
    sides: set[int | None] = set()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images.names), SIZES_AT_ONCE):
            some = range(start, min(start + SIZES_AT_ONCE, len(images.names)))
            for size in filter(None, pool.map(images.size, some)):
                sides.add(min(size) if cropped or size[0] == size[1] else None)
            if len(sides) > 1:
                return None
    return next(iter(sides), None)


# ---------------------------------------------------------------------- a folder


class ImageFolder:
    """The image files under a folder and what it links to, hidden ones left out, by their path from there."""

    def __init__(self, folder: Path, field: str, but_for: Collection[str] = ()) -> None:
        try:
            files = files_under(folder, but_for)
        except OSError as error:
            raise InputError(f"{field}: {str(folder)!r} cannot be read: {error}") from None
        found = natural_order(files.images)
        self.names, self.passed_over = [printable(name) for name in found], files.passed_over
        self._files = [folder / name for name in found]

    def read(self, index: int) -> bytes:
        try:
            return self._files[index].read_bytes()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None

    def decode(self, content: bytes) -> np.ndarray:
        return decode_image(content)

    def size(self, index: int) -> tuple[int, int] | None:
        return image_size(self._files[index])

    def stamp(self, index: int) -> str:
        return file_stamp(self._files[index])

    def caption_files(self) -> list[tuple[str, str, str]]:
        return []


def _what_it_holds(path: Path, passed_over: PassedOver) -> str:
    """Of a source without images: what else it has."""
    if said := str(passed_over):
        return f"; {said}"
    return "; it is empty" if path.is_dir() and not any(path.iterdir()) else ""

"""Anybody's images: a folder, an .npz or webdataset shards, read one by one without holding them all.

Files come in natural order (`img2` before `img10`), shards in theirs. How a file becomes pixels stands in
:mod:`evaluators.images.decoding`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluators.images.archives import NpzImages, ShardImages, expand_shards
from evaluators.images.decoding import Unreadable, decode_file, file_stamp, image_suffixes, natural_order
from space.shared.plain import InputError, check_utf8


class ImageSet(Protocol):
    """Images in a fixed order, each read when it is asked for. Safe to read from several threads."""

    names: list[str]  # one per image, for messages and for finding its caption

    def read(self, index: int) -> bytes:
        """What identifies the image: its file's bytes, or its pixels. Raises Unreadable."""
        ...

    def decode(self, content: bytes) -> np.ndarray:
        """What `read` gave as (H, W, 3) uint8. Raises Unreadable."""
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
        raise InputError(f"{field}: {source!r} holds no image{_what_it_holds(path)}")
    for name in images.names:
        check_utf8(name, f"{field}: a name in {source!r}")
    return images


def _open_folder(folder: Path, field: str) -> ImageSet:
    """Of shards, or of images. Raises InputError where it holds both."""
    images = ImageFolder(folder, field)
    shards = natural_order(file.name for file in folder.iterdir() if file.suffix == ".tar")
    if shards and images.names:
        raise InputError(
            f"{field}: {str(folder)!r} holds images ({images.names[0]}) and shards ({shards[0]}); for the "
            f"shards write {field}='{folder}/*.tar', for the images move the shards away"
        )
    return ShardImages([folder / name for name in shards], field) if shards else images


class Subset:
    """Some images of a set, in their order there."""

    def __init__(self, images: ImageSet, indices: list[int]) -> None:
        self._images, self._indices = images, indices
        self.names = [images.names[index] for index in indices]

    def read(self, index: int) -> bytes:
        return self._images.read(self._indices[index])

    def decode(self, content: bytes) -> np.ndarray:
        return self._images.decode(content)

    def stamp(self, index: int) -> str:
        return self._images.stamp(self._indices[index])

    def caption_files(self) -> list[tuple[str, str, str]]:
        own = set(self.names)
        return [found for found in self._images.caption_files() if found[0] in own]


def content_digest(digests: list[bytes]) -> str:
    """Sixteen hexadecimal digits for a whole set, from the SHA-256 of each image in order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


# ---------------------------------------------------------------------- a folder


class ImageFolder:
    """The image files under a folder and what it links to, hidden ones left out, by their path from there."""

    def __init__(self, folder: Path, field: str) -> None:
        self._folder = folder
        try:
            self.names = natural_order(_image_files(folder))
        except OSError as error:
            raise InputError(f"{field}: {str(folder)!r} cannot be read: {error}") from None

    def read(self, index: int) -> bytes:
        try:
            return (self._folder / self.names[index]).read_bytes()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None

    def decode(self, content: bytes) -> np.ndarray:
        return decode_file(content)

    def stamp(self, index: int) -> str:
        return file_stamp(self._folder / self.names[index])

    def caption_files(self) -> list[tuple[str, str, str]]:
        return []


def _image_files(folder: Path) -> Iterator[str]:
    """Relative paths, with / on every system."""

    def complain(error: OSError) -> None:
        raise error

    above = {str(folder): {os.path.realpath(folder)}}  # a link to a folder above would have no end
    for here, folders, files in os.walk(folder, onerror=complain, followlinks=True):
        behind = {name: os.path.realpath(os.path.join(here, name)) for name in folders}
        folders[:] = [
            name for name in folders if not name.startswith(".") and behind[name] not in above[here]
        ]
        above |= {os.path.join(here, name): above[here] | {behind[name]} for name in folders}
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in image_suffixes():
                yield (Path(here) / name).relative_to(folder).as_posix()


def _what_it_holds(path: Path) -> str:
    """For a folder without images: what else it has."""
    if not path.is_dir():
        return ""
    suffixes = sorted({Path(name).suffix or "no suffix" for _, _, files in os.walk(path) for name in files})
    return f"; its files have {', '.join(suffixes[:8])}" if suffixes else "; it is empty"

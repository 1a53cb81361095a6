"""A folder of images with a captions file: checked once, decoded once where memory allows.

Rows that name one file are captions of one image.

An image that cannot be read is named and left out; only too many of them stop the run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from space.shared.decoding import has_transparency, image_suffixes, is_decoded_otherwise
from space.shared.image_files import PassedOver, by_normal_form, files_under, normal_form
from space.shared.plain import InputError, first_few
from training.data.base import CommonSettings
from training.data.captions import captioned_files, captions_file
from training.data.pixels import centre_square


@dataclass(frozen=True, kw_only=True)
class FolderSettings(CommonSettings):
    """Images of your own."""

    name: Literal["folder"] = "folder"
    held_out_share: float = 0.1
    folder: str  # of the images
    captions: str | None = (
        None  # a file of names and captions; None: captions.jsonl (.csv, ...) in the folder
    )
    max_unreadable_share: float = 0.05  # of the images; above it loading stops
    memory_mib: int = 1024  # decoded images beyond this are read from disk for each batch

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folder:
            raise InputError("folder: missing; data of the name 'folder' needs the folder of the images")
        if not 0 <= self.max_unreadable_share <= 1:
            raise InputError(f"max_unreadable_share: {self.max_unreadable_share}; allowed: 0 to 1")

    def load(self) -> FolderPixels:
        return open_folder(
            self.folder,
            self.captions,
            self.image_size_px,
            max_unreadable_share=self.max_unreadable_share,
            memory_mib=self.memory_mib,
        )

    @property
    def title(self) -> str:
        return Path(self.folder).name or self.name

    def absolute(self) -> FolderSettings:
        captions = self.captions
        if captions is not None and Path(captions).is_file():  # else inside the folder
            captions = _absolute(captions)
        return replace(self, folder=_absolute(self.folder), captions=captions)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


class FolderPixels:
    """Images of a folder, (N, H, W, 3) uint8 in memory (`pixels_in_memory`) or decoded for each batch."""

    def __init__(
        self, files: list[Path], names: list[str], captions: list[list[str]], image_size_px: int
    ) -> None:
        self.captions = [caption for own in captions for caption in own]
        self.image_of = [index for index, own in enumerate(captions) for _ in own]
        self.unreadable: list[str] = []
        self.variant_of: Sequence[int] = range(len(files))
        self.remarks: Sequence[str] = ()
        self.looked_for = Path(), list[Path]()  # the folder, and the files that captions name
        self.pixels_in_memory: np.ndarray | None = None
        self._files, self._names, self._size = files, names, image_size_px

    def pixels(self, indices: Sequence[int]) -> np.ndarray:
        """(B, H, W, 3) uint8. Raises InputError where a file has become unreadable since it was checked."""
        if self.pixels_in_memory is not None:
            return self.pixels_in_memory[np.asarray(indices, dtype=np.int64)]
        with ThreadPoolExecutor() as pool:  # PIL decodes outside Python's lock
            decoded = list(pool.map(lambda index: centre_square(self._files[index], self._size), indices))
        for index, image in zip(indices, decoded, strict=True):
            if isinstance(image, str):
                raise InputError(f"{self._files[index]}: cannot be read any more as an image: {image}")
        return np.stack([image for image in decoded if not isinstance(image, str)])

    def passed_over(self) -> PassedOver:
        root, files = self.looked_for
        return _passed_over(root, files)

    def copies(self) -> dict[int, tuple[str, Sequence[int]]]:
        """Known of images in memory."""
        alike: dict[bytes, list[int]] = {}
        for number, image in enumerate(() if self.pixels_in_memory is None else self.pixels_in_memory):
            alike.setdefault(hashlib.blake2b(image.data).digest(), []).append(number)
        return {n: (self._names[n], same) for same in alike.values() if len(same) > 1 for n in same}

    def content(self) -> Iterable[bytes | memoryview]:
        """Pixels where they are in memory; names and sizes on disk where they are too many for that, and
        which of them an earlier version saw otherwise."""
        if self.pixels_in_memory is not None:
            return [self.pixels_in_memory.data]
        stated = zip(self._names, self._files, strict=True)
        with ThreadPoolExecutor() as pool:
            otherwise = pool.map(is_decoded_otherwise, self._files)
            return [
                f"{name}:{file.stat().st_size}{':turned' * turned};".encode()
                for (name, file), turned in zip(stated, otherwise, strict=True)
            ]


def open_folder(
    folder: str, captions: str | None, image_size_px: int, *, max_unreadable_share: float, memory_mib: int
) -> FolderPixels:
    """Read the captions, check every image, and keep the decoded ones if they fit `memory_mib`.

    Beyond that every image is still decoded once, to be sure that it can be, but not kept.

    Raises:
        InputError: no such folder, captions of the wrong form, no image, or too many unreadable ones.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(
            f"data.folder: {folder!r} is no folder; name the one that holds the images: "
            "data.folder=<folder>, beside resume= too, where they have moved"
        )
    by_image = _rows_by_image(root, captioned_files(captions_file(root, captions)))
    files, names = list(by_image), [own[0][0] for own in by_image.values()]
    captions_of = [[caption for _, caption in own] for own in by_image.values()]
    keep = len(files) * image_size_px**2 * 3 <= memory_mib * 2**20

    def read(file: Path) -> np.ndarray | str | None:
        image = centre_square(file, image_size_px)
        return image if keep or isinstance(image, str) else None

    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(read, files))
        see_through = list(pool.map(has_transparency, files))
    readable = [index for index, image in enumerate(decoded) if not isinstance(image, str)]
    unreadable = [(names[index], image) for index, image in enumerate(decoded) if isinstance(image, str)]
    _check_unreadable(unreadable, len(names), max_unreadable_share)
    images = FolderPixels(
        [files[index] for index in readable],
        [names[index] for index in readable],
        [captions_of[index] for index in readable],
        image_size_px,
    )
    images.unreadable = [name for name, _ in unreadable]
    images.looked_for = root, files
    if found := [names[index] for index in readable if see_through[index]]:
        images.remarks = [_on_transparency(found, len(readable))]
    if keep:
        images.pixels_in_memory = np.stack([image for image in decoded if isinstance(image, np.ndarray)])
    return images


def _on_transparency(names: list[str], count: int) -> str:
    return (
        f"transparency is dropped, so that what lies beneath is seen: {len(names):,} of {count:,} images "
        f"({first_few(names)}); data=stream shows them on white"
    )


def _rows_by_image(root: Path, rows: list[tuple[str, str]]) -> dict[Path, list[tuple[str, str]]]:
    """An image that several rows name, in whatever form, from the folder or from the root, is one."""
    first: dict[str, Path] = {}
    by_image: dict[Path, list[tuple[str, str]]] = {}
    for file, row in zip(_files(root, [name for name, _ in rows]), rows, strict=True):
        by_image.setdefault(first.setdefault(os.path.abspath(file), file), []).append(row)
    return by_image


def _files(root: Path, names: list[str]) -> list[Path]:
    """Where each name lies: as it is written, or else in another Unicode form of the same letters, or, of a
    name without a suffix such as a number, with that of the one image of this name."""
    files = [root / name for name in names]
    otherwise = [index for index, name in enumerate(names) if not (name.isascii() and _has_suffix(name))]
    missing = [index for index in otherwise if not files[index].exists()]
    if missing:
        try:
            images = files_under(root).images
        except OSError as error:
            raise InputError(f"folder: {str(root)!r} cannot be read: {error}") from None
        there, bare = by_normal_form(images), by_normal_form(images, lambda name: os.path.splitext(name)[0])
        for index in missing:
            form = normal_form(names[index])
            files[index] = root / there.get(form, bare.get(form, names[index]))
    return files


def _has_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in image_suffixes()


def _passed_over(root: Path, files: list[Path]) -> PassedOver:
    """Images of the folder that no caption names, and files that are no images. Walks the folder."""
    try:
        found = files_under(root)
    except OSError as error:
        unread = PassedOver()
        unread.add("folder that cannot be read", str(error.filename))
        return unread
    named = {os.path.abspath(file) for file in files}
    for name in found.images:
        if os.path.abspath(root / name) not in named:
            found.passed_over.add("without a caption", name)
    return found.passed_over


def _check_unreadable(unreadable: list[tuple[str, str]], count: int, max_share: float) -> None:
    if len(unreadable) == count or len(unreadable) > max_share * count:
        names, (name, why) = [name for name, _ in unreadable], unreadable[0]
        raise InputError(
            f"folder: {len(unreadable)} of {count} images cannot be read ({first_few(names)}); "
            f"allowed: at most {max_share:.0%} (max_unreadable_share); {name}: {why}"
        )

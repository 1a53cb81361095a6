"""Images as files of their own: named by a file of captions, or each with a .txt beside it."""

from __future__ import annotations

import hashlib
import os
import posixpath
import unicodedata
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np

from space.shared.decoding import image_suffixes
from space.shared.image_files import PassedOver
from space.shared.plain import InputError
from training.data.sources.forms import (
    EMPTY,
    NO_CAPTION,
    NOT_THERE,
    UNNAMEABLE,
    Form,
    ListedImage,
    Listing,
    Located,
    captions_in_file,
    is_utf8,
    texts_beside,
)
from training.data.sources.place import DataPlace, Range
from training.data.sources.rows import NamedCaptions, by_image, rows_in

PART_IMAGES = 1024  # of a part of the index, which is what an epoch puts in order


class LooseFiles(Form):
    """Images in files, by their names under the place."""

    def __init__(self, place: DataPlace) -> None:
        self.place = place

    @abstractmethod
    def _rows(self) -> Iterator[tuple[str, list[str] | None]]:
        """The name of each image and its captions, none if they are empty, or None where it lacks them."""

    def parts(self) -> Iterator[tuple[str, Listing]]:
        rows, number = self._rows(), 0
        while some := list(islice(rows, PART_IMAGES)):
            yield f"files {number}", partial(self._items, some)
            number += 1

    def _items(
        self, rows: Sequence[tuple[str, list[str] | None]], left_out: PassedOver
    ) -> Iterator[ListedImage]:
        sizes = self.place.sizes([name for name, _ in rows])
        for (name, captions), size in zip(rows, sizes, strict=True):
            if size is None and not name.isascii():
                name, size = self._stored_otherwise(name)
            if not is_utf8(name):
                left_out.add(UNNAMEABLE, name)
            elif captions is None:
                left_out.add(NO_CAPTION, name)
            elif size is None:
                left_out.add(NOT_THERE, name)
            elif not captions:
                left_out.add(EMPTY, name)
            else:
                yield ListedImage(name, captions, size=size)

    def _stored_otherwise(self, name: str) -> tuple[str, int | None]:
        """The same letters, as another system stores their accents."""
        names = list(dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]))
        found = zip(names, self.place.sizes(names), strict=True)
        return next((each for each in found if each[1] is not None), (name, None))

    def read(self, wanted: Sequence[Located]) -> list[bytes | str]:
        ranges = [Range(self.place.path(each.name)) for each in wanted]
        contents = self.place.read(ranges, may_lack=True)
        for each, content in zip(wanted, contents, strict=True):
            if content is not None and len(content) != each.size:
                raise InputError(
                    f"data.source: {each.name} has {len(content):,} bytes, and had {each.size:,} when it was "
                    f"listed; the images are listed anew by: {self.listed_anew_by}"
                )
        return [content if content is not None else "the file is not there" for content in contents]


class CaptionsFiles(LooseFiles):
    """Images that files of captions name, from the folder of each; rows of one name are one image's.

    Args:
        format: captions, huggingface or coco, which differ in where the files lie.
        files: of captions, by their name under the place.
        images: the folder of the images, where it is not that of the captions.
    """

    def __init__(
        self,
        place: DataPlace,
        format: str,
        files: Sequence[str],
        images: str | None,
        caption_field: str | None,
    ) -> None:
        super().__init__(place)
        self.name, self.options = format, (images, caption_field, *files)
        self._files, self._images, self._field = list(files), images, caption_field

    def files(self) -> list[str]:
        return self._files

    def _rows(self) -> Iterator[NamedCaptions]:
        return by_image(self._every_row())

    def _every_row(self) -> Iterator[NamedCaptions]:
        for file in self._files:
            folder = posixpath.dirname(file) if self._images is None else self._images
            with self.place.local(file) as path:
                for name, captions in rows_in(path, self._field):
                    yield self._under_place(folder, name), captions

    def unnamed(self) -> Iterator[str]:
        named = np.sort(np.fromiter((_short(name) for name, _ in self._every_row()), np.uint64))
        folders = [self._images or ""]
        if self._images is None and self.place.named is not None:
            folders = [posixpath.dirname(file) for file in self._files]
        for above in dict.fromkeys(folders):
            for folder, names in self.place.walk(above):
                paths = (posixpath.normpath(posixpath.join(folder, name)) for name in names)
                yield from (
                    path
                    for path in paths
                    if os.path.splitext(path)[1].lower() in image_suffixes()
                    and not _holds(named, _short(path))
                )

    def _under_place(self, folder: str, name: str) -> str:
        """One name for an image, however a row writes it."""
        name = posixpath.normpath(posixpath.join(folder, name))
        if self.place.is_local and posixpath.isabs(name):
            inside = os.path.relpath(name, self.place.root)
            return name if inside.startswith("..") else inside
        return name


class TextBeside(LooseFiles):
    """Each image with a .txt of the same name beside it, or a .json; in folders of any depth."""

    def __init__(self, place: DataPlace, name: str, caption_field: str | None) -> None:
        super().__init__(place)
        self.name, self.options, self._field = name, (caption_field,), caption_field

    def files(self) -> Iterator[str]:
        """All of them, so that another text is noticed."""
        return (posixpath.join(folder, name) for folder, names in self.place.walk() for name in names)

    def _rows(self) -> Iterator[tuple[str, list[str] | None]]:
        for folder, names in self.place.walk():
            there = {_stem_and_suffix(name): name for name in reversed(names)}  # .TXT is one too
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() not in image_suffixes():
                    continue
                path = posixpath.join(folder, name)
                beside = [there[stem + each] for each in texts_beside(self._field) if stem + each in there]
                found = self._captions([posixpath.join(folder, each) for each in beside])
                yield path, found if beside else None

    def _captions(self, files: Sequence[str]) -> list[str]:
        """Of the first file that holds any text."""
        for file in files:
            (content,) = self.place.read([Range(self.place.path(file))])
            suffix = os.path.splitext(file)[1].lower()
            if captions := captions_in_file(content or b"", suffix, self._field, file):
                return captions
        return []


def _short(name: str) -> np.uint64:
    """Eight bytes for a name, however its accents are stored: of many images, names would fill the memory."""
    letters = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return np.uint64(int.from_bytes(hashlib.blake2b(letters, digest_size=8).digest(), "little"))


def _holds(ordered: np.ndarray, value: np.uint64) -> bool:
    at = int(np.searchsorted(ordered, value))
    return at < len(ordered) and bool(ordered[at] == value)


def _stem_and_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem + suffix.lower()

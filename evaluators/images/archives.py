"""Images packed in files: an .npz array, or the .tar shards of webdataset. Each is read at its place."""

from __future__ import annotations

import re
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.images.decoding import Unreadable, decode_file, file_stamp, image_suffixes, natural_order
from space.shared.plain import InputError

NPZ_ARRAY = "arr_0"  # what numpy.savez calls its first array, and guided-diffusion its samples
PASSED_OVER = 128  # images that are kept for threads which others have overtaken


class NpzImages:
    """The array `arr_0` of an .npz (or its only one): (N, H, W, 3) uint8, as guided-diffusion writes it.

    An array stored as numpy.savez stores it is mapped into memory; a compressed one is unpacked on the way,
    from the start again whenever an earlier image is asked for.
    """

    def __init__(self, path: Path, field: str) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._archive = zipfile.ZipFile(path)
            self._member = self._archive.getinfo(_array_name(self._archive, path, field))
            with self._archive.open(self._member) as stream:
                shape, dtype = _npy_header(stream)
                self._header_bytes = stream.tell()
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{field}: {str(path)!r} cannot be read as .npz: {error}") from None
        if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise InputError(
                f"{field}: {str(path)!r} holds {dtype} of the shape {shape}; needed: uint8 (N, H, W, 3)"
            )
        self._shape = shape[1:]
        self._bytes = int(np.prod(self._shape))
        self.names = [str(index) for index in range(shape[0])]
        self._mapped = self._map() if self._member.compress_type == zipfile.ZIP_STORED else None
        self._stream: Any = None
        self._next = 0  # the image that the stream stands before
        self._passed: dict[int, bytes] = {}

    def _map(self) -> np.ndarray:
        """The rows, (N, bytes of an image), where the stored array begins: behind the local zip header."""
        with self._path.open("rb") as file:
            file.seek(self._member.header_offset + 26)
            name, extra = np.frombuffer(file.read(4), "<u2")
        start = self._member.header_offset + 30 + int(name) + int(extra) + self._header_bytes
        rows = (len(self.names), self._bytes)
        return np.memmap(self._path, np.uint8, "r", offset=start, shape=rows) if rows[0] else np.empty(rows)

    def read(self, index: int) -> bytes:
        if self._mapped is not None:
            return self._mapped[index].tobytes()
        with self._lock:
            return self._passed.pop(index) if index in self._passed else self._unpacked(index)

    def _unpacked(self, index: int) -> bytes:
        """An image on the way through the stream, which costs all before it where it must begin again."""
        try:
            if self._stream is None:
                self._stream = self._archive.open(self._member)
            first = self._next if self._next <= index <= self._next + PASSED_OVER else index
            self._stream.seek(self._header_bytes + first * self._bytes)
            for passed in range(first, index):
                self._passed[passed] = self._stream.read(self._bytes)
            content: bytes = self._stream.read(self._bytes)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self._path}: damaged at image {index}: {error}") from None
        self._next = index + 1
        while len(self._passed) > PASSED_OVER:
            del self._passed[next(iter(self._passed))]
        if len(content) < self._bytes:
            raise InputError(f"{self._path}: ends in image {index}")
        return content

    def decode(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def stamp(self, index: int) -> str:
        return file_stamp(self._path)

    def caption_files(self) -> list[tuple[str, str, str]]:
        return []


def _array_name(archive: zipfile.ZipFile, path: Path, field: str) -> str:
    arrays = [name for name in archive.namelist() if name.endswith(".npy")]
    if f"{NPZ_ARRAY}.npy" in arrays:
        return f"{NPZ_ARRAY}.npy"
    if len(arrays) == 1:
        return arrays[0]
    held = ", ".join(name.removesuffix(".npy") for name in arrays) or "none"
    raise InputError(f"{field}: {str(path)!r} holds the arrays {held}; needed: {NPZ_ARRAY}, the images")


def _npy_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that follows. Raises ValueError on a form that is not read here."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"an array of the .npy version {version}")
    shape, fortran, dtype = readers[version](stream)
    if fortran and len(shape) > 1:
        raise ValueError("an array in Fortran order; save numpy.ascontiguousarray of it")
    return shape, dtype


# ---------------------------------------------------------------------- webdataset


@dataclass(frozen=True)
class _Member:
    """A file inside a shard."""

    shard: Path
    name: str
    offset: int
    size: int


class ShardImages:
    """The images of webdataset shards: .tar files of pairs `<key>.jpg` and `<key>.txt` or `<key>.json`.

    Opening reads the headers alone; an image or a caption is then read at its place.
    """

    def __init__(self, shards: list[Path], field: str) -> None:
        self._images: list[_Member] = []
        self._texts: dict[tuple[Path, str], _Member] = {}
        for shard in shards:
            for member in _members(shard, field):
                key, suffix = _key_and_suffix(member.name)
                if suffix in image_suffixes():
                    self._images.append(member)
                elif suffix == ".txt":
                    self._texts[shard, key] = member
                elif suffix == ".json":
                    self._texts.setdefault((shard, key), member)
        self.names = [f"{member.shard.name}/{member.name}" for member in self._images]

    def read(self, index: int) -> bytes:
        try:
            return _content(self._images[index])
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None

    def decode(self, content: bytes) -> np.ndarray:
        return decode_file(content)

    def stamp(self, index: int) -> str:
        return file_stamp(self._images[index].shard)

    def caption_files(self) -> list[tuple[str, str, str]]:
        found = []
        for name, image in zip(self.names, self._images, strict=True):
            member = self._texts.get((image.shard, _key_and_suffix(image.name)[0]))
            if member is not None:
                file = f"{member.shard.name}/{member.name}"
                try:
                    found.append((name, file, _content(member).decode("utf-8")))
                except (OSError, UnicodeDecodeError) as error:
                    raise InputError(f"captions: {file} cannot be read as UTF-8 text: {error}") from None
        return found


def expand_shards(pattern: str, field: str) -> list[Path]:
    """`a-{000..009}.tar`, `a-{x,y}.tar` and `*` to files that exist, in natural order within the pattern.

    Raises:
        InputError: a file that the braces name is missing, or nothing matches.
    """
    found: list[Path] = []
    for text in _braces(pattern):
        path = Path(text)
        if any(sign in path.name for sign in "*?["):
            found += [
                path.parent / name for name in natural_order(p.name for p in path.parent.glob(path.name))
            ]
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{field}: {text!r} does not exist")
    if not found:
        raise InputError(f"{field}: no file matches {pattern!r}")
    return found


def _braces(pattern: str) -> Iterator[str]:
    """
    >>> list(_braces("a-{8..10}.tar"))
    ['a-8.tar', 'a-9.tar', 'a-10.tar']
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = []
    for index, part in enumerate(parts):
        span = re.fullmatch(r"(\d+)\.\.(\d+)", part)
        if index % 2 == 0:
            choices.append([part])
        elif span:
            first, last = span.groups()
            width = len(first) if first.startswith("0") else 0
            choices.append([f"{number:0{width}d}" for number in range(int(first), int(last) + 1)])
        else:
            choices.append(part.split(","))
    return ("".join(chosen) for chosen in product(*choices))


def _members(shard: Path, field: str) -> list[_Member]:
    try:
        with tarfile.open(shard, "r:") as archive:
            files = [member for member in archive if member.isfile()]
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{field}: {str(shard)!r} cannot be read as an uncompressed .tar: {error}") from None
    return [_Member(shard, member.name, member.offset_data, member.size) for member in files]


def _content(member: _Member) -> bytes:
    with member.shard.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def _key_and_suffix(name: str) -> tuple[str, str]:
    """webdataset's rule: a key ends at the first dot of the base name.

    >>> _key_and_suffix("a.b/000.seg.png")
    ('a.b/000', '.seg.png')
    """
    folder, slash, base = name.rpartition("/")
    key, dot, suffix = base.partition(".")
    return f"{folder}{slash}{key}", f"{dot}{suffix}".lower()

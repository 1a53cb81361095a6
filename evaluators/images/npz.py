"""Images in an .npz array, each read at its place."""

from __future__ import annotations

import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.images.stamps import file_stamp
from space.shared.image_files import PassedOver
from space.shared.plain import InputError

NPZ_ARRAY = "arr_0"  # what numpy.savez calls its first array, and guided-diffusion its samples
PASSED_BY = 128  # images that are kept for threads which others have overtaken


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
        self.passed_over = PassedOver()
        for name in sorted(set(_arrays(self._archive)) - {self._member.filename}):
            self.passed_over.add("other arrays", name.removesuffix(".npy"))
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
            first = self._next if self._next <= index <= self._next + PASSED_BY else index
            self._stream.seek(self._header_bytes + first * self._bytes)
            for passed in range(first, index):
                self._passed[passed] = self._stream.read(self._bytes)
            content: bytes = self._stream.read(self._bytes)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self._path}: damaged at image {index}: {error}") from None
        self._next = index + 1
        while len(self._passed) > PASSED_BY:
            del self._passed[next(iter(self._passed))]
        if len(content) < self._bytes:
            raise InputError(f"{self._path}: ends in image {index}")
        return content

    def decode(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def size(self, index: int) -> tuple[int, int] | None:
        height, width, _ = self._shape
        return width, height

    def stamp(self, index: int) -> str:
        return file_stamp(self._path)

    def caption_files(self) -> list[tuple[str, str, str]]:
        return []


def _arrays(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.endswith(".npy")]


def _array_name(archive: zipfile.ZipFile, path: Path, field: str) -> str:
    arrays = _arrays(archive)
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

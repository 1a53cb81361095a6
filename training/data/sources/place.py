"""Where data lies: a folder, a file or a pattern of files, here or at any address that fsspec knows.

A place may be away for a while, as network storage is: it is then asked again, longer and longer apart.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from space.shared.file_names import braces, common_folder, natural_order
from space.shared.plain import InputError, nearest
from space.shared.retries import StorageAway, pauses

T = TypeVar("T")
PATTERN_SIGNS = "*?["  # of a pattern
OF_CONTENT = ("builtins", "pyarrow", "tarfile", "json")  # whose errors come again, however often one asks
OF_VERSION = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "md5Hash", "created")


@dataclass(frozen=True)
class Range:
    """A part of a file; without a size, the whole."""

    path: str
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True)
class DataPlace:
    """A folder at an address, with the files in it that were named, if they were.

    Attributes:
        address: as it was stated.
        root: the folder, as the file system names it; names are relative to it, with /.
        named: the files that the address names; None where it is a folder.
        patience_seconds: how long it may be away.
        setting: that states the address.
    """

    address: str
    filesystem: Any
    root: str
    named: tuple[str, ...] | None = None
    patience_seconds: float = 0.0
    setting: str = "data.source"
    _told: set[str] = field(default_factory=set, compare=False)

    @property
    def is_local(self) -> bool:
        return "file" in (protocols := self.filesystem.protocol) or "local" in protocols

    def path(self, name: str) -> str:
        if name.startswith("/") and self.is_local:
            return name
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def entries(self, folder: str = "") -> Iterator[tuple[str, bool]]:
        """The names in a folder, and whether each is a folder; hidden ones are left out."""
        if self.is_local:
            with os.scandir(self.path(folder)) as found:
                listed = ((entry.name, entry.is_dir()) for entry in found)
                yield from ((name, is_folder) for name, is_folder in listed if name[0] != ".")
            return
        for info in self.filesystem.ls(self.path(folder), detail=True):
            name = posixpath.basename(info["name"].rstrip("/"))
            if name and name[0] != ".":
                yield name, info["type"] == "directory"

    def walk(self, folder: str = "", above: frozenset[str] = frozenset()) -> Iterator[tuple[str, list[str]]]:
        """Each folder with the names of its files, in natural order. A link to a folder above has no end, and
        is not followed."""
        if self.is_local:
            if (real := os.path.realpath(self.path(folder))) in above:
                return
            above |= {real}
        entries = list(self.entries(folder))
        yield folder, natural_order(name for name, is_folder in entries if not is_folder)
        for name in natural_order(name for name, is_folder in entries if is_folder):
            yield from self.walk(posixpath.join(folder, name), above)

    def version(self, name: str) -> list[str]:
        """What of a file changes with what is in it."""
        info = self.filesystem.info(self.path(name))
        return [name, *(f"{key}={info[key]}" for key in OF_VERSION if info.get(key) is not None)]

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        """Of files in bytes; None where there is none that may be read."""
        if self.is_local:
            found = [_size(self.path(name)) for name in names]
            if None in found and not self._is_there():
                raise FileNotFoundError(self.root)
            return found
        paths = [self.path(name) for name in names]
        try:
            return [int(size) for size in self.filesystem.sizes(paths)]
        except FileNotFoundError:  # one of them
            if not self._is_there():
                raise
            there = {path for path in paths if self.filesystem.exists(path)}
            return [int(self.filesystem.size(path)) if path in there else None for path in paths]

    def open(self, name: str) -> BinaryIO:
        """To be read from its start on."""
        path = self.path(name)
        opened: BinaryIO = self.filesystem.open(path, "rb")
        return opened

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A file of this machine with the same content."""
        if self.is_local:
            yield Path(self.path(name))
            return
        with tempfile.TemporaryDirectory(prefix="mdsearch-") as folder:
            copy = Path(folder) / posixpath.basename(name)
            with self.open(name) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
            yield copy

    def read(self, ranges: Sequence[Range], may_lack: bool = False) -> list[bytes | None]:
        """What stands in parts of files; None where a file is not there, if it `may_lack`.

        Raises:
            StorageAway: the place was away for longer than `patience_seconds`.
        """
        found: dict[int, bytes | None] = {}

        def read_rest() -> list[bytes | None]:
            rest = [index for index in range(len(ranges)) if index not in found]
            failed = None
            for index, content in zip(rest, self._cat([ranges[index] for index in rest]), strict=True):
                if isinstance(content, bytes):
                    found[index] = content
                elif may_lack and isinstance(content, FileNotFoundError) and self._is_there():
                    found[index] = None
                else:
                    failed = content
            if failed is not None:
                raise failed
            return [found[index] for index in range(len(ranges))]

        return self.patiently(read_rest)

    def _cat(self, ranges: Sequence[Range]) -> list[bytes | Exception]:
        contents: list[bytes | Exception] = self.filesystem.cat_ranges(
            [each.path for each in ranges],
            [None if each.size is None else each.offset for each in ranges],
            [None if each.size is None else each.offset + each.size for each in ranges],
            on_error="return",
        )
        return contents

    def _is_there(self) -> bool:
        return bool(self.filesystem.exists(self.root))

    def patiently(self, read: Callable[[], T]) -> T:
        """Read something of this place, again and again while it is away.

        Raises:
            StorageAway: it was for longer than `patience_seconds`.
        """
        left = pauses(self.patience_seconds)
        while True:
            try:
                return read()
            except Exception as error:
                if not _may_pass(error):
                    raise
                reason, pause = reason_in_words(error), next(left, None)
            if pause is None:
                raise StorageAway(
                    f"{self.setting}: {self.address!r} cannot be read: {reason}; gave up after "
                    f"{self.patience_seconds:g} s (data.patience_seconds)"
                )
            if reason not in self._told:
                self._told.add(reason)
                to_stderr(f"waiting for {self.address}: {reason}")
            time.sleep(pause)


def to_stderr(text: str) -> None:
    """What happens meanwhile: what a command finds goes to standard output, maybe as JSON."""
    print(text, file=sys.stderr)


def open_place(address: str, patience_seconds: float = 0.0) -> DataPlace:
    """Raises InputError where nothing lies at an address, or no library here can read it."""
    is_plain = not _is_pattern(address)
    patterns = [address] if is_plain else list(braces(address))
    filesystem, path = _filesystem(patterns[0], address)
    found = DataPlace(address, filesystem, path.rstrip("/") or "/", patience_seconds=patience_seconds)
    try:
        if is_plain:
            return _plain_place(found)
        files = [file for pattern in patterns for file in _matches(filesystem, pattern, address)]
    except InputError:
        raise
    except Exception as error:  # of whatever library serves the address
        raise InputError(f"data.source: {address!r} cannot be listed: {reason_in_words(error)}") from None
    root = common_folder(files)
    named = tuple(file[len(root) + 1 :] for file in files)
    return DataPlace(address, filesystem, root, named, patience_seconds)


def _is_local(address: str) -> bool:
    return "://" not in address


def _is_pattern(address: str) -> bool:
    """Names that exist as they stand are none; ? and [ are usual in addresses."""
    if _is_local(address):
        return any(sign in address for sign in PATTERN_SIGNS + "{") and not os.path.lexists(
            os.path.expanduser(address)
        )
    return "*" in address or "{" in address


def _filesystem(pattern: str, address: str) -> tuple[Any, str]:
    import fsspec

    protocol = address.partition("://")[0].rpartition("::")[2] if "://" in address else "file"
    try:
        filesystem, path = fsspec.url_to_fs(os.path.expanduser(pattern))
        return filesystem, str(path)
    except ImportError as error:
        raise InputError(f"data.source: {address!r} needs a package: {reason_in_words(error)}") from None
    except ValueError:
        known = nearest(protocol, ("file", "gs", "hf", "http", "https", "memory", "s3"))
        raise InputError(
            f"data.source: {address!r} is of an unknown protocol, {protocol!r}; {known}"
        ) from None


def _plain_place(place: DataPlace) -> DataPlace:
    filesystem, path = place.filesystem, place.root
    if filesystem.isdir(path):
        return place
    above, base = posixpath.split(path)
    if filesystem.isfile(path):
        return DataPlace(place.address, filesystem, above, (base,), place.patience_seconds)
    beside = DataPlace(place.address, filesystem, above)
    names = [name for name, _ in beside.entries()] if filesystem.isdir(above) else []
    raise InputError(
        f"data.source: {place.address!r} is neither a folder nor a file"
        + (f"; beside it, {nearest(base, names[:20])}" if names else f"; nor is {above!r} a folder")
    )


def _matches(filesystem: Any, pattern: str, address: str) -> list[str]:
    _, path = _filesystem(pattern, address)
    if "*" in path or (_is_local(pattern) and any(sign in path for sign in PATTERN_SIGNS)):
        files = natural_order(filesystem.glob(path))
    else:
        files = [path] if filesystem.isfile(path) else []
    if not files:
        raise InputError(f"data.source: {pattern!r} does not exist; it is named by {address!r}")
    return files


def _size(path: str) -> int | None:
    """None of folders and pipes too, whatever their names end with."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) else None


def _may_pass(error: Exception) -> bool:
    """Errors of the system, and of whatever library serves the address."""
    of = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or (not isinstance(error, InputError) and of not in OF_CONTENT)


def reason_in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

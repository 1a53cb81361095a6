"""Images in the .tar shards of webdataset, each read at its place."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.images.stamps import file_stamp
from space.shared.captions import unmarked
from space.shared.decoding import Unreadable, decode_image, image_size, image_suffixes
from space.shared.file_names import braces, key_and_suffix, natural_order
from space.shared.image_files import RESOURCE_FORK, PassedOver, printable
from space.shared.plain import InputError

TEXT_SUFFIXES = (".txt", ".json")  # in the order in which an image's are taken
HEADER_BYTES = 2**16  # of an image, in which its size usually stands
DOTTED = "of dotted names, of which webdataset takes all behind the first dot for the suffix"


@dataclass(frozen=True)
class _Member:
    """A file inside a shard."""

    shard: Path
    name: str
    offset: int
    size: int

    @property
    def shown(self) -> str:
        return f"{printable(self.shard.name)}/{printable(self.name)}"


class ShardImages:
    """The images of webdataset shards: .tar files of pairs `<key>.jpg` and `<key>.txt` or `<key>.json`.

    Opening reads the headers alone; an image or a caption is then read at its place. `beside` holds what was
    passed over where the shards lie.
    """

    def __init__(self, shards: list[Path], field: str, beside: PassedOver | None = None) -> None:
        self._images: list[_Member] = []
        self._texts: dict[tuple[Path, str, str], _Member] = {}
        self.passed_over = beside or PassedOver()
        for shard in shards:
            for member in self._members(shard, field):
                key, suffix = key_and_suffix(member.name)
                if suffix in image_suffixes():
                    self._images.append(member)
                elif suffix in TEXT_SUFFIXES:
                    self._texts[shard, key, suffix] = member
                else:
                    self.passed_over.add(_kind(suffix), member.shown)
        self.names = [member.shown for member in self._images]

    def _members(self, shard: Path, field: str) -> Iterator[_Member]:
        try:
            with tarfile.open(shard, "r:") as archive:
                entries = [entry for entry in archive if not entry.isdir()]
        except (OSError, tarfile.TarError) as error:
            raise InputError(
                f"{field}: {str(shard)!r} cannot be read as an uncompressed .tar: {error}"
            ) from None
        for entry in entries:
            member = _Member(shard, entry.name, entry.offset_data, entry.size)
            if not entry.isfile():
                self.passed_over.add("links", member.shown)
            elif not entry.name.rpartition("/")[2].startswith(RESOURCE_FORK):
                yield member

    def read(self, index: int) -> bytes:
        try:
            return _content(self._images[index])
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None

    def decode(self, content: bytes) -> np.ndarray:
        return decode_image(content)

    def size(self, index: int) -> tuple[int, int] | None:
        member = self._images[index]
        try:
            return image_size(_content(member, HEADER_BYTES)) or image_size(_content(member))
        except OSError:
            return None

    def stamp(self, index: int) -> str:
        return file_stamp(self._images[index].shard)

    def caption_files(self) -> list[tuple[str, str, str]]:
        found = []
        for image in self._images:
            key, _ = key_and_suffix(image.name)
            beside = [self._texts.get((image.shard, key, suffix)) for suffix in TEXT_SUFFIXES]
            if (text := _first_text([member for member in beside if member is not None])) is not None:
                found.append((image.shown, *text))
        return found


def expand_shards(pattern: str, field: str) -> list[Path]:
    """`a-{000..009}.tar`, `a-{x,y}.tar` and `*` to files that exist, in natural order within the pattern.

    Raises:
        InputError: a file that the braces name is missing, or nothing matches.
    """
    found: list[Path] = []
    for text in braces(pattern):
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


def _content(member: _Member, at_most: int | None = None) -> bytes:
    with member.shard.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size if at_most is None else min(member.size, at_most))


def _first_text(members: list[_Member]) -> tuple[str, str] | None:
    """The first file that holds any text, and the text: an empty .txt does not hide the .json beside it."""
    read = None
    for member in members:
        read = member.shown, _text(member)
        if read[1].strip():
            break
    return read


def _text(member: _Member) -> str:
    try:
        return unmarked(_content(member).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"captions: {member.shown} cannot be read as UTF-8 text: {error}") from None


def _kind(suffix: str) -> str:
    """Of a member that is neither image nor caption."""
    return DOTTED if f".{suffix.rpartition('.')[2]}" in image_suffixes() else suffix or "without a suffix"

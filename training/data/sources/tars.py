"""webdataset's shards: .tar files of members `<key>.jpg` beside `<key>.txt` or `<key>.json`.

The library of that name streams a shard from its start, so that going on inside an epoch means reading it
again up to there, and its order depends on how many workers read. Here the headers are read once, and an
image then at its place.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from space.shared.decoding import image_suffixes
from space.shared.file_names import key_and_suffix
from space.shared.image_files import RESOURCE_FORK, PassedOver, printable
from space.shared.plain import InputError
from training.data.sources.forms import (
    EMPTY,
    NO_CAPTION,
    TORN,
    Form,
    ListedImage,
    Listing,
    Located,
    captions_in_file,
    texts_beside,
)
from training.data.sources.place import DataPlace, Range

APART = "members of a sample that do not follow each other"
WITH_DOTS = "samples whose image has dots in its name, of which a key ends at the first"
BLOCK_BYTES = 512  # of a tar; two of zeros end it
COMPRESSED_BEGINS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # how gzip and others begin
REST_BYTES = 1 << 20  # read at once of what fills a shard up
NAME_BYTES = 100  # of a header
Members = dict[str, tarfile.TarInfo]  # of one sample, by suffix


class TarShards(Form):
    """A part is a shard, an image the bytes of a member.

    Args:
        files: the shards, by their names under the place.
        caption_field: of a sample's .json.
        image_field: the suffix of the image, of samples that hold several.
    """

    def __init__(
        self,
        place: DataPlace,
        name: str,
        files: Sequence[str],
        caption_field: str | None,
        image_field: str | None,
    ) -> None:
        self.place, self.name, self._files = place, name, list(files)
        self.options = caption_field, image_field
        self._field = caption_field
        self._image = None if image_field is None else f".{image_field.lstrip('.')}"

    def files(self) -> list[str]:
        return self._files

    def parts(self) -> Iterator[tuple[str, Listing]]:
        return ((shard, partial(self._items, shard)) for shard in self._files)

    def _items(self, shard: str, left_out: PassedOver) -> Iterator[ListedImage]:
        """Of what is whole: a torn shard ends before the sample at which it is torn."""
        samples, halves = 0, set[str]()
        try:
            for archive, key, members in self._samples(shard):
                samples += 1
                found = PassedOver()
                if item := self._item(shard, key, members, archive, found):
                    yield item
                elif key in halves:
                    left_out.add(APART, f"{shard}/{key}")
                else:
                    halves.add(key)
                    left_out.add_all(found)
        except (tarfile.TarError, EOFError) as error:
            left_out.add(TORN, f"{shard} after {samples:,} samples: {self._compressed(shard) or error}")

    def _compressed(self, shard: str) -> str | None:
        with self.place.open(shard) as file:
            start = file.read(max(map(len, COMPRESSED_BEGINS)))
        return "it is compressed; needed: unpacked" if start.startswith(COMPRESSED_BEGINS) else None

    def _samples(self, shard: str) -> Iterator[tuple[tarfile.TarFile, str, Members]]:
        """Members of one key that follow each other; where a suffix comes again, another sample begins.

        Raises:
            TarError: the shard is torn.
        """
        (size,) = self.place.sizes([shard])
        key, members = "", Members()
        with (
            self.place.open(shard) as file,
            tarfile.open(fileobj=file, mode="r:") as archive,
        ):
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if member.offset_data + member.size > (size or 0):
                    raise tarfile.ReadError(f"{member.name} ends behind its end")
                if not member.isfile() or member.name.rpartition("/")[2].startswith(RESOURCE_FORK):
                    continue
                own, suffix = key_and_suffix(member.name)
                if members and (own != key or suffix in members):
                    yield archive, key, members
                    members = {}
                key, members[suffix] = own, member
            _check_end(file, archive.offset)
            if members:
                yield archive, key, members

    def _item(
        self, shard: str, key: str, members: Members, archive: tarfile.TarFile, left_out: PassedOver
    ) -> ListedImage | None:
        """None where the sample lacks an image or a caption."""
        images = [suffix for suffix in members if suffix in image_suffixes()]
        suffix = self._image if self._image in members else next(iter(images), None)
        if suffix is None or (self._image is not None and suffix != self._image):
            dotted = [each for each in members if posixpath.splitext(each)[1] in image_suffixes()]
            kind = WITH_DOTS if self._image is None and dotted else "samples without an image"
            left_out.add(kind, f"{shard}/{key}{dotted[0] if dotted else ''}")
            return None
        name = printable(f"{shard}/{key}{suffix}")
        texts = [(members[each], each) for each in texts_beside(self._field) if each in members]
        if not texts:
            left_out.add(NO_CAPTION, name)
            return None
        captions = next(filter(None, (self._captions(archive, *text) for text in texts)), [])
        if not captions:
            left_out.add(EMPTY, name)
            return None
        image = members[suffix]
        if not image.size:
            left_out.add("empty images", name)
            return None
        return ListedImage(name, captions, image.offset_data, image.size)

    def _captions(self, archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> list[str]:
        file = archive.extractfile(member)
        content = b"" if file is None else file.read()
        return captions_in_file(content, suffix, self._field, member.name)

    def read(self, wanted: Sequence[Located]) -> list[bytes | str]:
        """With the header before each, by which a shard that was written anew is told."""
        ranges = [
            Range(self.place.path(each.part), each.offset - BLOCK_BYTES, each.size + BLOCK_BYTES)
            for each in wanted
        ]
        read = [content or b"" for content in self.place.read(ranges)]
        contents = [each[BLOCK_BYTES:] for each in read]
        for each, content in zip(wanted, contents, strict=True):
            if len(content) != each.size:
                raise InputError(
                    f"data.source: {each.part} is torn: of {each.name}, {len(content):,} of "
                    f"{each.size:,} bytes are there; started again, it is listed anew"
                )
        for each, content in zip(wanted, read, strict=True):
            if not _is_header_of(each, content[:BLOCK_BYTES]):
                raise InputError(
                    f"data.source: {each.part} has changed: {each.name} lies no longer where it was listed; "
                    "started again, it is listed anew"
                )
        return list(contents)


def _is_header_of(listed: Located, header: bytes) -> bool:
    """Names that a header alone cannot hold stand before it; of those, the size is compared."""
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    name = listed.name.removeprefix(printable(f"{listed.part}/"))
    is_whole = name.isascii() and len(member.name) < NAME_BYTES
    return member.size == listed.size and (
        not is_whole or printable("".join(key_and_suffix(member.name))) == name
    )


def _check_end(file: BinaryIO, offset: int) -> None:
    """`tarfile` ends without a word at a damaged header, where a shard was cut between two members, and at
    the first end of shards that were joined to one file."""
    file.seek(offset)
    if file.read(BLOCK_BYTES) != bytes(BLOCK_BYTES):
        raise tarfile.ReadError("no member and no end mark follows")
    while rest := file.read(REST_BYTES):
        if rest.strip(b"\0"):
            raise tarfile.ReadError(
                "more follows behind its end mark, as where shards were joined to one file"
            )

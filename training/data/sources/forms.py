"""What every form of captioned images gives: its images with their captions, part by part, to be listed once
in an index; and then an image wherever the index says that it lies."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from space.shared.captions import TEXT_FIELDS
from space.shared.image_files import PassedOver
from space.shared.plain import InputError, nearest
from space.shared.tables import WrongForm
from training.data.sources.place import DataPlace

NO_CAPTION, EMPTY, NOT_THERE, TORN, UNNAMEABLE = (
    "without a caption",
    "with an empty caption",
    "named and not there",
    "torn shards",
    "with a name that is not UTF-8",
)


class ListedImage(NamedTuple):
    """An image with its captions, one or more, as the index lists it.

    `offset` and `size` are where it lies: bytes of a shard, a row, or its own file.
    """

    name: str
    captions: list[str]
    offset: int = 0
    size: int = 0


class Located(NamedTuple):
    """Where an image lies: the part of its source, its name, and its place there."""

    part: str
    name: str
    offset: int
    size: int


Listing = Callable[[PassedOver], Iterator[ListedImage]]
"""The images of a part; it is told what cannot be trained on."""


class Listable(ABC):
    """Captioned images of which an index is made.

    Attributes:
        name: of the form that they are in, as `data.format` says it.
        options: what else decides which images and captions are found.
    """

    name: str
    options: tuple[str | None, ...]
    place: DataPlace

    @abstractmethod
    def files(self) -> Iterable[str]:
        """What the index is made of: where these are as they were, it holds. Of many, one after the other."""

    @abstractmethod
    def parts(self) -> Iterator[tuple[str, Listing]]:
        """The name of each part, such as a shard, and what lists its images; again where the place was away.

        Raises:
            InputError: the source is not of this form.
        """


class Form(Listable):
    """One of the forms that captioned images come in.

    Attributes:
        listed_anew_by: the command that lists its images anew.
    """

    listed_anew_by = "mdsearch data relist=true"

    def unnamed(self) -> Iterator[str]:
        """Images that lie beside those that captions name, and that none names."""
        return iter(())

    def image_bytes(self) -> int | None:
        """On average, of what has to be read to read one image, where that is more than the image alone."""
        return None

    @abstractmethod
    def read(self, wanted: Sequence[Located]) -> list[bytes | str]:
        """The bytes of images as they are stored; or why one cannot be read.

        Raises:
            StorageAway: the place is.
            InputError: it is not any more as it was when it was listed.
        """


def captions_in(row: Any, field: str | None, where: str) -> list[str] | None:
    """The captions of a row of any table, without those that are empty; None where it has no such field.

    A field may hold several, in a list.

    Raises:
        InputError: the field holds anything else.
    """
    fields = TEXT_FIELDS if field is None else (field,)
    present = [name for name in fields if name in row]
    if not present:
        return None
    value = next((row[name] for name in present if row[name] is not None), None)
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise InputError(f"{where}: its caption is {text!r:.40}; allowed: a text, or a list of texts")
    stripped = [text.strip() for text in texts if text is not None]
    return [text.encode("utf-8", "replace").decode() for text in stripped if text]


def captions_in_file(content: bytes, suffix: str, field: str | None, where: str) -> list[str]:
    """The captions in a .txt, which is one, or in a .json.

    Raises:
        InputError: it is no text, or no JSON.
    """
    try:
        text = content.decode("utf-8-sig").strip()
        row = {TEXT_FIELDS[0]: text} if suffix == ".txt" else json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"data.source: {where} cannot be read as {suffix}: {error}") from None
    if not isinstance(row, Mapping):
        raise InputError(f"data.source: {where} holds no fields, but {row!r:.40}")
    return captions_in(row, None if suffix == ".txt" else field, f"data.source: {where}") or []


def is_utf8(name: str) -> bool:
    """Python keeps other bytes of a name as what no text may hold."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def texts_beside(field: str | None) -> tuple[str, str]:
    """The suffixes of what may hold an image's captions, in the order in which they are taken; a field of
    captions is one of JSON."""
    return (".txt", ".json") if field is None else (".json", ".txt")


def lacks_captions(row: Any, field: str | None, where: str) -> InputError:
    """The error to raise where a row has no field of captions."""
    if len(row) == 1 and any(sign in str(*row) for sign in ";\t|,"):
        return InputError(
            f"{where} has one column, {str(*row)!r:.60}; needed: columns divided by commas in .csv, by tabs "
            "in .tsv"
        )
    wanted = field or TEXT_FIELDS[0]
    known = " or ".join(TEXT_FIELDS) if field is None else field
    return InputError(
        f"{where} has no {known}; {nearest(wanted, map(str, row))}: data.caption_field names another"
    )


def in_one_line(error: WrongForm | Exception) -> InputError:
    return InputError(f"data.source: {' '.join(str(error).split())}")

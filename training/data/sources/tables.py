"""Parquet files with the bytes of images: Hugging Face's `{bytes, path}`, or a column of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any, BinaryIO

from space.shared.captions import NAME_FIELDS, TEXT_FIELDS
from space.shared.image_files import PassedOver
from space.shared.plain import InputError, nearest
from training.data.sources.forms import (
    EMPTY,
    NO_CAPTION,
    TORN,
    Form,
    ListedImage,
    Listing,
    Located,
    captions_in,
)
from training.data.sources.place import DataPlace

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes")
KEY_COLUMNS = ("__key__", "key", "id", *NAME_FIELDS)  # whose value may be an image's name
STATUS, SUCCESS = "status", "success"  # of img2dataset, which keeps rows of images that it could not fetch


class ParquetImages(Form):
    """Part after part is a group of rows, which is read whole for any of its images.

    Args:
        files: by their names under the place.
        memory_bytes: row groups that are kept, the latest ones.
    """

    def __init__(
        self,
        place: DataPlace,
        name: str,
        files: Sequence[str],
        caption_field: str | None,
        image_field: str | None,
        memory_bytes: int,
    ) -> None:
        self.place, self.name, self._files = place, name, list(files)
        self.options = caption_field, image_field
        self._caption_field, self._image_field = caption_field, image_field
        self._memory, self._kept = memory_bytes, OrderedDict[str, Any]()
        self._versions = dict[str, list[str]]()
        self._alone = Lock()  # batches are made ahead while held-out images are read

    def files(self) -> list[str]:
        return self._files

    def image_bytes(self) -> int | None:
        """By the first file that is whole, of a row."""
        return self.place.patiently(self._bytes_of_a_row)

    def _bytes_of_a_row(self) -> int:
        whole = next((name for name in self._files if not is_torn(self.place, name)), self._files[0])
        with _opened(self.place, whole) as file:
            column = self._image_column(file.schema_arrow, whole)
            groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        total = sum(_column_bytes(group, column) for group in groups)
        return int(total // max(1, sum(group.num_rows for group in groups)))

    def parts(self) -> Iterator[tuple[str, Listing]]:
        for name in self._files:
            try:
                groups = self.place.patiently(partial(self._groups, name))
            except Torn:
                groups = 1  # of which listing says it
            for group in range(groups):
                yield f"{name}#{group}", partial(self._items, name, group)

    def _groups(self, name: str) -> int:
        with _opened(self.place, name) as file:
            return int(file.num_row_groups)

    def _items(self, name: str, group: int, left_out: PassedOver) -> Iterator[ListedImage]:
        """None of a group whose captions are torn, as of a shard."""
        try:
            with _opened(self.place, name) as file:
                yield from self._listed(file, name, group, left_out)
        except Torn as error:
            left_out.add(TORN, f"{name}#{group}: {error.reason}")

    def _listed(self, file: Any, name: str, group: int, left_out: PassedOver) -> Iterator[ListedImage]:
        schema, where = file.schema_arrow, f"data.source: {name}, row group {group}"
        self._image_column(schema, name)
        columns = [
            each
            for each in schema.names
            if each in (*KEY_COLUMNS, *TEXT_FIELDS, STATUS, self._caption_field)
            and not _is_image(schema, each)
        ]
        captioned = [each for each in columns if each == self._caption_field or each in TEXT_FIELDS]
        if not captioned:
            wanted = self._caption_field or TEXT_FIELDS[0]
            raise InputError(
                f"data.caption_field: {name} has no column {wanted!r}; {nearest(wanted, schema.names)}"
            )
        for number, row in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
            key = next((row[each] for each in KEY_COLUMNS if isinstance(row.get(each), (str, int))), None)
            shown = f"{name}#{group}/{number if key is None else key}"
            captions = captions_in(row, self._caption_field, f"{where}, row {number}")
            if row.get(STATUS, SUCCESS) != SUCCESS:
                left_out.add("rows that img2dataset could not fetch", shown)
            elif not captions:
                left_out.add(EMPTY if captions is not None else NO_CAPTION, shown)
            else:
                yield ListedImage(shown, captions, number)

    def read(self, wanted: Sequence[Located]) -> list[bytes | str]:
        groups: dict[str, Any] = {}
        for part in dict.fromkeys(each.part for each in wanted):
            groups[part] = self.place.patiently(partial(self._group, part))
        found = [(groups[each.part], each) for each in wanted]
        return [group.reason if isinstance(group, Torn) else _bytes_of(group, each) for group, each in found]

    def _group(self, part: str) -> Any:
        """The images of a group of rows; or the error of one that is torn."""
        with self._alone:
            if part not in self._kept:
                try:
                    self._kept[part] = self._read_group(part)
                except Torn as error:
                    self._kept[part] = error
            self._kept.move_to_end(part)
            while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self._memory:
                self._kept.popitem(last=False)
            return self._kept[part]

    def _read_group(self, part: str) -> Any:
        name, _, group = part.rpartition("#")
        version = self.place.version(name)
        if self._versions.setdefault(name, version) != version:
            raise InputError(
                f"data.source: {name} has changed since it was first read; started again, it is listed anew"
            )
        with _opened(self.place, name) as file:
            column = self._image_column(file.schema_arrow, name)
            return file.read_row_group(int(group), columns=[column]).column(0).combine_chunks()

    def _image_column(self, schema: Any, name: str) -> str:
        there = [each for each in schema.names if _is_image(schema, each)]
        usual = [each for each in IMAGE_COLUMNS if each in there]
        wanted = str(self._image_field or next(iter([*usual, *there]), IMAGE_COLUMNS[0]))
        if wanted not in there:
            raise InputError(
                f"data.image_field: {name} has no column {wanted!r} of images; of bytes, "
                f"{nearest(wanted, there)}"
            )
        return f"{wanted}.bytes" if _is_struct(schema, wanted) else wanted


def holds_images(place: DataPlace, name: str) -> bool:
    """Whether a parquet file has a column of bytes, as images are; others hold captions alone."""
    with _opened(place, name) as file:
        return any(_is_image(file.schema_arrow, each) for each in file.schema_arrow.names)


def is_torn(place: DataPlace, name: str) -> bool:
    """Whether a file cannot be opened as parquet; its groups of rows may be torn nevertheless."""
    try:
        with _opened(place, name):
            return False
    except Torn:
        return True


class Torn(InputError):
    """A parquet file, or a group of its rows, that cannot be read, though its bytes can."""

    nbytes = 0

    def __init__(self, name: str, error: Exception) -> None:
        self.reason = f"torn or no parquet: {' '.join(str(error).split())}"
        super().__init__(f"data.source: {name} is {self.reason}")


class _Watched:
    """A file of which is known whether it could be read: Arrow's errors of content are the system's, too."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.failed = file, False

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception:
            self.failed = True
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _opened(place: DataPlace, name: str) -> Iterator[Any]:
    """Raises Torn where what is read of it is."""
    from pyarrow import ArrowException, parquet

    with place.open(name) as opened:
        file = _Watched(opened)
        try:
            yield parquet.ParquetFile(file)
        except (ArrowException, OSError) as error:
            if file.failed:
                raise
            raise Torn(name, error) from None


def _is_image(schema: Any, name: str) -> bool:
    from pyarrow import types

    kind = schema.field(name).type
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or _is_struct(schema, name))


def _is_struct(schema: Any, name: str) -> bool:
    from pyarrow import types

    kind = schema.field(name).type
    return bool(types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _column_bytes(group: Any, name: str) -> int:
    columns = (group.column(index) for index in range(group.num_columns))
    return sum(each.total_uncompressed_size for each in columns if each.path_in_schema == name)


def _bytes_of(images: Any, wanted: Located) -> bytes | str:
    if wanted.offset >= len(images):
        raise InputError(
            f"data.source: {wanted.part} has {len(images):,} rows, and not that numbered "
            f"{wanted.offset}, which was listed; started again, it is listed anew"
        )
    value = images[wanted.offset].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) and content else "its row holds no bytes"

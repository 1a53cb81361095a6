"""Rows that name an image and its caption, from a file of captions, read one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from space.shared.captions import NAME_FIELDS, name_in, parsed_json
from space.shared.plain import InputError, nearest
from space.shared.tables import WrongForm, rows_of
from training.data.sources.forms import captions_in, in_one_line, lacks_captions

CHUNK_ROWS = 1 << 14  # rows
ANNOTATIONS = "annotations"  # of COCO
NamedCaptions = tuple[str, list[str]]  # a name, and captions, maybe none


def rows_in(path: Path, caption_field: str | None) -> Iterator[NamedCaptions]:
    """Names and captions of a .jsonl, .csv, .tsv, .parquet or .json, COCO's annotations too.

    Raises:
        InputError: another form, or a row without a name or a field of captions, with where it stands.
    """
    reader = ROW_READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"data.captions: {path.name!r} has no known form; {nearest(path.suffix, ROW_READERS)}"
        )
    try:
        for where, row in reader(path):
            yield _read(row, caption_field, where)
    except WrongForm as error:
        raise in_one_line(error) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.captions: {path.name!r} cannot be read: {error}") from None


def by_image(rows: Iterable[NamedCaptions]) -> Iterator[NamedCaptions]:
    """Rows that name one image are its captions, in their order, wherever they stand.

    They are gathered by Arrow, in about the bytes of the texts.
    """
    import pyarrow as pa

    schema = pa.schema([("name", pa.large_string()), ("caption", pa.large_string())])
    tables, left = [], iter(rows)
    while some := list(islice(left, CHUNK_ROWS)):
        none: list[str | None] = [None]
        pairs = [(name, text) for name, texts in some for text in texts or none]
        tables.append(pa.table(list(zip(*pairs, strict=True)), schema=schema))
    if not tables:
        return
    grouped = pa.concat_tables(tables).group_by("name", use_threads=False).aggregate([("caption", "list")])
    for batch in grouped.to_batches(CHUNK_ROWS):
        for name, texts in zip(batch["name"].to_pylist(), batch["caption_list"].to_pylist(), strict=True):
            yield name, [text for text in texts if text is not None]


def _read(row: Any, caption_field: str | None, where: str) -> NamedCaptions:
    if not isinstance(row, Mapping):
        raise InputError(f"data.captions: {where} holds no fields, but {row!r:.40}")
    captions = captions_in(row, caption_field, f"data.captions: {where}")
    if captions is None:
        raise lacks_captions(row, caption_field, f"data.captions: {where}")
    name = name_in(row, where)
    if name is None:
        raise InputError(
            f"data.captions: {where} names no image, in any of {', '.join(NAME_FIELDS)}; it has "
            f"{', '.join(map(str, row))}"
        )
    return name, captions


# ---------------------------------------------------------------------- the forms


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield where, parsed_json(line, where)


def _table(path: Path) -> Iterator[tuple[str, Any]]:
    return rows_of(path, "\t" if path.suffix.lower() == ".tsv" else ",", NAME_FIELDS)


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    from pyarrow import ArrowException, parquet, types

    try:
        with parquet.ParquetFile(path) as file:
            columns = [
                f"{column.name}.path" if types.is_struct(column.type) else column.name
                for column in file.schema_arrow
                if not types.is_binary(column.type) and not types.is_large_binary(column.type)
                if not types.is_struct(column.type) or column.type.get_field_index("path") >= 0
            ]
            number = 0
            for batch in file.iter_batches(CHUNK_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except ArrowException as error:
        raise WrongForm(f"{path} cannot be read as parquet: {error}") from None


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise WrongForm(f"{path} is not JSON: {error}") from None
    if isinstance(value, dict) and ANNOTATIONS in value:
        return _coco(value, path)
    if isinstance(value, dict):
        value = [{"file_name": name, "caption": text} for name, text in value.items()]
    if not isinstance(value, list):
        raise WrongForm(f"{path} holds neither a list, nor a mapping, nor COCO's annotations")
    return ((f"{path}, row {number}", row) for number, row in enumerate(value, start=1))


def _coco(value: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    """In the order of the images, and of the ids of their captions."""
    try:
        names = {image["id"]: image["file_name"] for image in value["images"]}
        notes = sorted(value[ANNOTATIONS], key=lambda note: note["id"])
        texts: dict[Any, list[str]] = {number: [] for number in names}
        for note in notes:
            texts[note["image_id"]].append(note["caption"])
    except (KeyError, TypeError) as error:
        raise WrongForm(
            f"{path} is not as COCO's caption annotations are ({type(error).__name__}: {error})"
        ) from None
    return (
        (f"{path}, image {number}", {"file_name": names[number], "caption": texts[number]})
        for number in names
    )


ROW_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".jsonl": _json_lines,
    ".csv": _table,
    ".tsv": _table,
    ".json": _json,
    ".parquet": _parquet,
}

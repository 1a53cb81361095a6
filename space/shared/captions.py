"""Captions files, read alike by whoever trains on images, generates them or scores them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.shared.plain import InputError, check_utf8
from space.shared.tables import WrongForm, rows_of

NAME_FIELDS = ("file_name", "file", "filename", "image")
TEXT_FIELDS = ("caption", "text", "prompt")
BESIDE = tuple(f"captions.{form}" for form in ("jsonl", "csv", "tsv", "json", "parquet", "txt"))
BYTE_ORDER_MARK = "\ufeff"
OF_AN_IMAGE = re.compile(r"(?!.*://).*\.(png|jpe?g|webp|bmp|tiff?|gif|heic|avif)", re.IGNORECASE)


@dataclass(frozen=True)
class Captions:
    """Texts in the file's order, with the names of their images where the file gives them.

    `more_than_images` is for the annotations of a whole data set, of which the images may be a part; `others`
    are the fields that are not read, of rows without a name: they may say of which image they are.
    """

    texts: list[str]
    names: list[str] | None = None
    more_than_images: bool = False
    others: Mapping[str, list[Any]] = dataclasses.field(default_factory=dict)


def captions_beside(folder: Path) -> Path | None:
    """The captions file that lies in a folder of images, if one does."""
    return next((folder / name for name in BESIDE if (folder / name).is_file()), None)


def read_captions(file: str | Path, field: str = "captions") -> Captions:
    """Captions from .txt (one a line), .jsonl, .json, .csv, .tsv or .parquet.

    Rows have `caption` (or `text`, `prompt`) and, unless they go by order, `file_name` (or `file`,
    `filename`, `image`): text, a whole number, or parquet's `{bytes, path}`. A .json holds a list of rows or
    of texts, a mapping of names to texts, or COCO's annotations, of which an image gets the caption with the
    lowest id. A line ends at a line feed alone.

    Args:
        field: the setting that names the file, for messages.

    Raises:
        InputError: missing, another form, or a row without its fields, empty ones too, named by its line.
    """
    path = Path(file).expanduser()
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{field}: {path.name!r} has no known form; allowed: {', '.join(READERS)}")
    try:
        captions = reader(path)
    except WrongForm as error:
        raise InputError(f"{field}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{field}: {str(file)!r} cannot be read: {error}") from None
    if not captions.texts:
        raise InputError(f"{field}: {str(file)!r} holds none")
    return captions


def caption_in(text: str, where: str) -> str:
    """The caption of one image in the .txt or .json beside it, as webdataset's shards have it.

    Raises:
        InputError: not JSON, or without a text, with `where` it stands.
    """
    try:
        if not where.lower().endswith(".json"):
            return _text(text.strip(), where)
        row = parsed_json(text, where)
        return _text(_first(row, TEXT_FIELDS) if isinstance(row, Mapping) else None, where)
    except WrongForm as error:
        raise InputError(f"captions: {error}") from None


def unmarked(text: str) -> str:
    """Without the byte order mark that some editors begin a file with."""
    return text.removeprefix(BYTE_ORDER_MARK)


# ---------------------------------------------------------------------- the forms


def _lines_of_text(path: Path) -> Captions:
    return Captions([_text(line.strip(), where) for where, line in _numbered(path, "line", _lines(path))])


def _lines(path: Path) -> list[str]:
    """Captions may hold what Unicode and `splitlines` call the end of a line."""
    text = path.read_text("utf-8-sig").rstrip("\r\n")
    return text.split("\n") if text else []


def _json_lines(path: Path) -> Captions:
    return _rows(
        (
            (where, parsed_json(line, where))
            for where, line in _numbered(path, "line", _lines(path))
            if line.strip()
        )
    )


def _json(path: Path) -> Captions:
    value = parsed_json(path.read_text("utf-8-sig"), str(path))
    if isinstance(value, dict) and "annotations" in value:
        return _coco(value, path)
    if isinstance(value, dict):
        value = [{"file_name": name, "caption": text} for name, text in value.items()]
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        return Captions([_text(item, where) for where, item in _numbered(path, "row", value)])
    if not isinstance(value, list):
        raise WrongForm(f"{path} holds neither a list, nor a mapping, nor COCO's annotations")
    return _rows(_numbered(path, "row", value))


def _coco(value: dict[str, Any], path: Path) -> Captions:
    texts, empty = dict[str, str](), dict[str, str]()
    try:
        images = {image["id"]: image for image in value["images"]}
        for note in sorted(value["annotations"], key=lambda note: note["id"]):
            where, text = f"{path}, annotation {note['id']}", note["caption"].strip()
            name = name_in(images[note["image_id"]], where)
            if name is None:
                raise WrongForm(f"{where} is of an image that lacks its file_name")
            if text:
                texts.setdefault(name, _text(text, where))
            else:
                empty.setdefault(name, where)
    except (KeyError, TypeError, AttributeError) as error:
        raise WrongForm(
            f"{path} is not as COCO's caption annotations are ({type(error).__name__}: {error})"
        ) from None
    for name in empty.keys() - texts.keys():
        raise WrongForm(f"{empty[name]} needs the text of a caption; it is empty, and {name} has no other")
    return Captions(list(texts.values()), list(texts), more_than_images=True)


def _table(path: Path) -> Captions:
    return _rows(rows_of(path, "\t" if path.suffix.lower() == ".tsv" else ",", NAME_FIELDS))


def _parquet(path: Path) -> Captions:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            table = file.read(columns=_columns(file.schema_arrow, path))
        return _rows(_numbered(path, "row", table.to_pylist()))
    except ArrowException as error:
        raise WrongForm(f"{path} cannot be read as parquet: {error}") from None


def _columns(schema: Any, path: Path) -> list[str]:
    """Those to read, of images their path alone. Raises WrongForm where a column of names holds none."""
    from pyarrow import types

    of_texts = (types.is_string, types.is_large_string, types.is_string_view)
    of_names = (*of_texts, types.is_integer, types.is_dictionary, types.is_null)
    columns, nameless = [], ""
    for column in schema:
        kind = column.type
        if column.name not in (*NAME_FIELDS, *TEXT_FIELDS):
            continue
        if types.is_struct(kind) and kind.get_field_index("path") >= 0:
            columns.append(f"{column.name}.path")
        elif column.name in TEXT_FIELDS or any(is_kind(kind) for is_kind in of_names):
            columns.append(column.name)
        else:
            nameless = f"{path}: the column {column.name} holds {kind}"
    if nameless and not any(column.partition(".")[0] in NAME_FIELDS for column in columns):
        raise WrongForm(f"{nameless}; allowed: names as text or whole numbers, or structs with a path")
    if not any(column.partition(".")[0] in NAME_FIELDS for column in columns):
        may_name = (*of_texts, types.is_integer)  # nevertheless
        more = [column.name for column in schema if any(is_kind(column.type) for is_kind in may_name)]
        columns += [name for name in more if name not in columns]
    return columns


READERS: dict[str, Callable[[Path], Captions]] = {
    ".txt": _lines_of_text,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _parquet,
}


def _numbered(path: Path, what: str, items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}, {what} {number}", item) for number, item in enumerate(items, start=1))


# ---------------------------------------------------------------------- a row


def _rows(rows: Iterable[tuple[str, Any]]) -> Captions:
    """Rows, each with where it stands. Raises WrongForm for one that lacks its text, or its name where others
    have one."""
    texts: list[str] = []
    names: list[str] = []
    others: dict[str, list[Any]] = {}
    nameless = ""
    for where, row in rows:
        text = _first(row, TEXT_FIELDS) if isinstance(row, Mapping) else None
        if not isinstance(text, str):
            there = ", ".join(map(str, row)) if isinstance(row, Mapping) else repr(row)
            raise WrongForm(f"{where} needs a text under {' or '.join(TEXT_FIELDS)}; it has {there}")
        texts.append(_text(text, where))
        name = name_in(row, where)
        if name is None:
            _check_unnamed(row, where)
            nameless = nameless or where
            for field in row.keys() - {*NAME_FIELDS, *TEXT_FIELDS}:
                others.setdefault(field, []).append(row[field])
        else:
            names.append(name)
    if names and nameless:
        raise WrongForm(f"{nameless} lacks the {' or '.join(NAME_FIELDS)} that others have")
    return Captions(texts, names or None, others={} if names else others)


def _check_unnamed(row: Mapping[str, Any], where: str) -> None:
    """What would go by order though it says which image it is of. Raises WrongForm for it."""
    for field, value in row.items():
        if field not in TEXT_FIELDS and isinstance(value, str) and OF_AN_IMAGE.fullmatch(value.strip()):
            raise WrongForm(
                f"{where}: {field} holds the name of an image, {value!r:.60}, and is not read as one; "
                f"allowed: {', '.join(NAME_FIELDS)}"
            )


def _text(text: Any, where: str) -> str:
    """A caption. Raises WrongForm where there is none."""
    if not isinstance(text, str):
        raise WrongForm(f"{where} holds no text under {', '.join(TEXT_FIELDS)}")
    if not text.strip():
        raise WrongForm(f"{where} needs the text of a caption; it is empty")
    return _encodable(text, where)


def name_in(row: Mapping[str, Any], where: str) -> str | None:
    """An image's name; None where the row has no field of one. Raises WrongForm for anything but a name."""
    field = next((name for name in NAME_FIELDS if row.get(name) is not None), None)
    if field is None:
        return None
    value = row[field]
    if isinstance(value, Mapping) and "path" in value:
        value = value["path"]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise WrongForm(f"{where}: its {field} is {_shown(value)}; needed: the name of its image")
    return _encodable(value, where)


def _shown(value: Any) -> str:
    return "empty" if value in ("", None) else f"{type(value).__name__} {value!r:.40}"


def _encodable(text: str, where: str) -> str:
    """Raises WrongForm for half of a character, which JSON may spell."""
    try:
        return check_utf8(text, where)
    except InputError as error:
        raise WrongForm(str(error)) from None


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def parsed_json(text: str, where: str) -> Any:
    def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """JSON itself would take the last, unseen."""
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise WrongForm(f"{where} gives {twice!r} twice")
        return found

    try:
        return json.loads(unmarked(text), object_pairs_hook=unrepeated)
    except json.JSONDecodeError as error:
        raise WrongForm(f"{where} is not JSON: {error}") from None

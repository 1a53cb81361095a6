"""Captions files, read alike by whoever trains on images, generates them or scores them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.shared.plain import InputError, check_utf8

NAME_FIELDS = ("file_name", "file", "filename", "image")
TEXT_FIELDS = ("caption", "text", "prompt")
BESIDE = (
    "captions.jsonl",
    "captions.csv",
    "captions.tsv",
    "captions.json",
    "captions.parquet",
    "captions.txt",
)


@dataclass(frozen=True)
class Captions:
    """Texts in the file's order, with the names of their images where the file gives them.

    `more_than_images` is for the annotations of a whole data set, of which the images may be a part.
    """

    texts: list[str]
    names: list[str] | None = None
    more_than_images: bool = False


def captions_beside(folder: Path) -> Path | None:
    """The captions file that lies in a folder of images, if one does."""
    return next((folder / name for name in BESIDE if (folder / name).is_file()), None)


def read_captions(file: str | Path, field: str = "captions") -> Captions:
    """Captions from .txt (one a line), .jsonl, .json, .csv, .tsv or .parquet.

    Rows have `caption` (or `text`, `prompt`) and, unless they go by order, `file_name` (or `file`,
    `filename`, `image`). A .json holds a list of rows or of texts, a mapping of names to texts, or COCO's
    annotations, of which an image gets the caption with the lowest id. A line ends at a line feed alone.

    Args:
        field: the setting that names the file, for messages.

    Raises:
        InputError: missing, another form, or a row without its fields, which is named by its line.
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
    for text in (*captions.texts, *(captions.names or ())):  # JSON may spell half of a character
        check_utf8(text, f"{field}: {str(file)!r}")
    return captions


def caption_in(text: str, where: str) -> str:
    """The caption of one image in the JSON beside it, as webdataset's shards have it.

    Raises:
        InputError: not JSON, or without a text, with `where` it stands.
    """
    try:
        row = _parsed(text, where)
    except WrongForm as error:
        raise InputError(f"captions: {error}") from None
    caption = _first(row, TEXT_FIELDS) if isinstance(row, Mapping) else None
    if not isinstance(caption, str):
        raise InputError(f"captions: {where} holds no text under {', '.join(TEXT_FIELDS)}")
    return check_utf8(caption, f"captions: {where}")


class WrongForm(ValueError):
    """A file that is not as its ending says; the message names it and the line."""


# ---------------------------------------------------------------------- the forms


def _text(path: Path) -> Captions:
    return Captions([line.strip() for line in _lines(path)])


def _lines(path: Path) -> list[str]:
    """Captions may hold what Unicode and `splitlines` call the end of a line."""
    text = path.read_text("utf-8-sig").rstrip("\n")
    return text.split("\n") if text else []


def _json_lines(path: Path) -> Captions:
    return _rows(
        (
            (where, _parsed(line, where))
            for where, line in _numbered(path, "line", _lines(path))
            if line.strip()
        )
    )


def _json(path: Path) -> Captions:
    value = _parsed(path.read_text("utf-8-sig"), str(path))
    if isinstance(value, dict) and "annotations" in value:
        return _coco(value, path)
    if isinstance(value, dict):
        value = [{"file_name": name, "caption": text} for name, text in value.items()]
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        return Captions(value)
    if not isinstance(value, list):
        raise WrongForm(f"{path} holds neither a list, nor a mapping, nor COCO's annotations")
    return _rows(_numbered(path, "row", value))


def _coco(value: dict[str, Any], path: Path) -> Captions:
    try:
        names = {image["id"]: image["file_name"] for image in value["images"]}
        texts: dict[str, str] = {}
        for note in sorted(value["annotations"], key=lambda note: note["id"]):
            texts.setdefault(names[note["image_id"]], note["caption"].strip())
    except (KeyError, TypeError, AttributeError) as error:
        raise WrongForm(
            f"{path} is not as COCO's caption annotations are ({type(error).__name__}: {error})"
        ) from None
    return Captions(list(texts.values()), list(texts), more_than_images=True)


def _table(path: Path) -> Captions:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        return _rows((f"{path}, line {table.line_num}", row) for row in table)


def _parquet(path: Path) -> Captions:
    from pyarrow import ArrowException, parquet

    try:
        columns = [name for name in parquet.read_schema(path).names if name in (*NAME_FIELDS, *TEXT_FIELDS)]
        return _rows(_numbered(path, "row", parquet.read_table(path, columns=columns).to_pylist()))
    except ArrowException as error:
        raise WrongForm(f"{path} cannot be read as parquet: {error}") from None


READERS: dict[str, Callable[[Path], Captions]] = {
    ".txt": _text,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _parquet,
}


def _numbered(path: Path, what: str, items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}, {what} {number}", item) for number, item in enumerate(items, start=1))


def _rows(rows: Iterable[tuple[str, Any]]) -> Captions:
    """Rows, each with where it stands. Raises WrongForm for one that lacks its text, or its name where others
    have one."""
    texts: list[str] = []
    names: list[str] = []
    nameless = ""
    for where, row in rows:
        text = _first(row, TEXT_FIELDS) if isinstance(row, Mapping) else None
        if not isinstance(text, str):
            there = ", ".join(map(str, row)) if isinstance(row, Mapping) else repr(row)
            raise WrongForm(f"{where} needs a text under {' or '.join(TEXT_FIELDS)}; it has {there}")
        texts.append(text)
        name = _first(row, NAME_FIELDS)
        if isinstance(name, str) and name:
            names.append(name)
        else:
            nameless = nameless or where
    if names and nameless:
        raise WrongForm(f"{nameless} lacks the {' or '.join(NAME_FIELDS)} that others have")
    return Captions(texts, names or None)


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _parsed(text: str, where: str) -> Any:
    def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """JSON itself would take the last, unseen."""
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise WrongForm(f"{where} gives {twice!r} twice")
        return found

    try:
        return json.loads(text, object_pairs_hook=unrepeated)
    except json.JSONDecodeError as error:
        raise WrongForm(f"{where} is not JSON: {error}") from None

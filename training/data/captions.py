"""Captions: their words, and the files that hold them.

Captions files are JSON lines (`{"file": ..., "caption": ...}`), or CSV or TSV with the header `file,caption`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from space.shared.plain import InputError

CAPTION_FILES = ("captions.jsonl", "captions.csv", "captions.tsv")


def words(caption: str) -> list[str]:
    """Lower-case words of a caption, without the punctuation around them."""
    stripped = (word.strip(".,;:!?\"'()") for word in caption.lower().split())
    return [word for word in stripped if word]


def captions_file(root: Path, captions: str | None) -> Path:
    """A path of its own, or one inside the folder."""
    if captions is None:
        for name in CAPTION_FILES:
            if (root / name).is_file():
                return root / name
        raise InputError(f"captions: none of {', '.join(CAPTION_FILES)} stands in {str(root)!r}")
    for file in (Path(captions), root / captions):
        if file.is_file():
            return file
    raise InputError(f"captions: {captions!r} is no file, neither by itself nor in {str(root)!r}")


def read_captions(file: str | Path) -> list[str]:
    """Prompts: one a line of a .txt, or those of a captions file, which need name no images here.

    Raises:
        InputError: no such file, another form, or an empty line, by its number.
    """
    path = Path(file).expanduser()
    if path.suffix.lower() != ".txt":
        return [_text_of(path, line, caption) for line, _, caption in _parsed(path, (".txt",))]
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"captions: {path} cannot be read as UTF-8 text: {error}") from None
    return [_text_of(path, number, line.strip() or None) for number, line in enumerate(lines, start=1)]


def _text_of(file: Path, line: int, caption: object) -> str:
    if not isinstance(caption, str):
        raise InputError(f"{file}, line {line}: needs the text of a caption")
    return caption


def captioned_files(file: Path) -> Iterator[tuple[str, str]]:
    """(file, caption) of each line. Raises InputError with the line's number."""
    rows = _parsed(file)
    if not rows:
        raise InputError(f"captions: {file} names no image")
    for line, name, caption in rows:
        if not isinstance(name, str) or not isinstance(caption, str) or not name:
            raise InputError(f"{file}, line {line}: needs the texts 'file' and 'caption'")
        yield name, caption


def _parsed(file: Path, other_forms: tuple[str, ...] = ()) -> list[tuple[int, object, object]]:
    """(line, file, caption), the latter two as they stand."""
    readers = {".jsonl": _json_rows, ".csv": _table_rows, ".tsv": _table_rows}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        allowed = ", ".join(sorted([*readers, *other_forms]))
        raise InputError(f"captions: {file.name!r} has no known form; allowed: {allowed}")
    try:
        return list(reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"captions: {file} cannot be read as UTF-8 text: {error}") from None


def _json_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{file}, line {number}: not JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise InputError(f"{file}, line {number}: expected {{'file': ..., 'caption': ...}}")
            yield number, row.get("file"), row.get("caption")


def _table_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, delimiter=delimiter)
        header = table.fieldnames or []
        if not {"file", "caption"} <= set(header):
            raise InputError(f"{file}, line 1: the header is {list(header)}; needed: file, caption")
        for row in table:
            yield table.line_num, row["file"], row["caption"]

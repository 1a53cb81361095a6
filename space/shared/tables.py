"""Rows of .csv and .tsv files, none of which a stray quote or an unquoted delimiter may swallow or cut."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

REMEDY = 'write a quote inside a quoted text twice (""), or use .jsonl'

_FILE, _WORD = re.compile(r".*\.\w{2,5}"), re.compile(r"\S+")


class WrongForm(ValueError):
    """A file that is not as its ending says; the message names it and the line."""


def rows_of(path: Path, delimiter: str, names: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row stands, and its cells by the header's words.

    Args:
        names: words of the header whose cells hold names of files: what tells a row that a quote swallowed
            from the next line of a quoted text.

    Raises:
        WrongForm: quotes that are not closed or closed by another row's, more cells than the header has, or a
            header that has a word twice.
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] = []
        while True:
            where = f"{path}, line {table.line_num + 1}"
            try:
                cells = next(table)
            except StopIteration:
                return
            except csv.Error as error:
                raise WrongForm(f"{where} cannot be told from the next: {error}; {REMEDY}") from None
            if cells and not header:
                header = _header(cells, where)
            elif cells:
                _check(cells, header, where)
                _check_swallowed(cells, header, where, delimiter, names)
                yield where, dict(zip(header, cells, strict=False))


def _header(cells: list[str], where: str) -> list[str]:
    twice = [cell for index, cell in enumerate(cells) if cell and cell in cells[:index]]
    if twice:
        raise WrongForm(f"{where}: the header has {twice[0]!r} twice")
    return cells


def _check(cells: list[str], header: list[str], where: str) -> None:
    if any(cells[len(header) :]):
        raise WrongForm(
            f"{where} has {len(cells)} cells, its header {len(header)}; put quotes around a text that holds "
            "the delimiter"
        )


def _check_swallowed(
    cells: list[str], header: list[str], where: str, delimiter: str, names: Sequence[str]
) -> None:
    """A quote that opens in one row and closes in another makes one text of both, as CSV goes."""
    named = next((header.index(name) for name in names if name in header), None)
    for line in (line for cell in cells if "\n" in cell for line in cell.split("\n")[1:]):
        inside = next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
        if len(inside) != len(header) or not line.strip():
            continue
        if named is None or _is_name(inside[named], cells[named]):
            raise WrongForm(
                f"{where}: its quoted text goes on with what looks like a row, {line!r:.60}; {REMEDY}"
            )


def _is_name(text: str, own: str) -> bool:
    """Whether it may be a name of a file, as `own` is one; without a suffix there, any word may."""
    return (_FILE if _FILE.fullmatch(own.strip()) else _WORD).fullmatch(text.strip()) is not None

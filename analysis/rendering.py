"""One table, four ways to write it: for a terminal, as Markdown, as CSV, as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from os.path import relpath
from pathlib import Path
from typing import Any, Literal

from space.explore.style import PLOT_ENDINGS
from space.shared.command_lines import command_line
from space.shared.outputs import writing_file
from space.shared.plain import InputError

Format = Literal["table", "json", "csv", "markdown"]


@dataclass(frozen=True)
class TableSettings:
    """How a table is written.

    `out` is a file (None: standard output); `plot` a file for the plot beside it, PNG, SVG or PDF.
    """

    format: Format = "table"
    out: str | None = None
    plot: str | None = None

    def __post_init__(self) -> None:
        if self.plot is not None and Path(self.plot).suffix not in PLOT_ENDINGS:
            allowed = ", ".join(PLOT_ENDINGS)
            raise InputError(f"plot: {self.plot!r} is no image file; allowed: {allowed}")


def render_table(rows: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, str]], form: Format) -> str:
    """The text of a table.

    Args:
        rows: exact values by field name, for machines (JSON, CSV).
        shown: the same rows as words under column titles, for people (terminal, Markdown).
    """
    if form == "json":
        return json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        return _csv(rows)
    lines = [list(shown[0]), *(list(row.values()) for row in shown)]
    return _markdown(lines) if form == "markdown" else _columns(lines)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---" if words else "---:" for words in _hold_words(lines)]
    titles = [title.replace("\n", " ") for title in lines[0]]
    return "".join(f"| {' | '.join(line)} |\n" for line in [titles, rule, *lines[1:]])


def _columns(lines: list[list[str]]) -> str:
    """Lines of columns; a title may stand on several lines."""
    titles = [title.split("\n") for title in lines[0]]
    depth = max(map(len, titles))
    head = [
        [parts[at - depth] if at - depth >= -len(parts) else "" for parts in titles] for at in range(depth)
    ]
    body = [*head, *lines[1:]]
    widths = [max(len(line[column]) for line in body) for column in range(len(titles))]
    words = _hold_words(lines)
    texts = ["  ".join(_padded(line, widths, words)).rstrip() for line in body]
    texts.insert(depth, "-" * max(map(len, texts)))
    return "\n".join(texts) + "\n"


def _hold_words(lines: list[list[str]]) -> list[bool]:
    """Which columns hold words, and so stand to the left; figures stand to the right."""
    return [any(map(str.isalpha, "".join(column))) for column in zip(*lines[1:], strict=True)]


def _padded(line: Iterable[str], widths: Iterable[int], words: Iterable[bool]) -> list[str]:
    return [
        text.ljust(width) if left else text.rjust(width)
        for text, width, left in zip(line, widths, words, strict=True)
    ]


def markdown_page(
    command: str, title: str, parts: Sequence[str], caption: str, settings: TableSettings
) -> str:
    """A Markdown page: title, parts, the plot if there is one, the command that made it and when."""
    chosen = {name: value for name, value in asdict(settings).items() if value is not None}
    paragraphs = [f"# {title}", *(part.strip() for part in parts)]
    if settings.plot is not None:
        link = relpath(settings.plot, Path(settings.out or ".").parent)
        paragraphs.append(f"![{caption}]({link})")
    paragraphs.append(f"Made on {date.today()} by `{command_line(command, **chosen)}`.")
    return "\n\n".join(paragraphs) + "\n"


def write_text(text: str, out: str | None) -> None:
    """To a file, or to standard output. Raises InputError where the file cannot be written."""
    if out is None:
        print(text, end="")
        return
    try:
        with writing_file(Path(out)) as own:
            own.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"out: {out} cannot be written: {error}") from None

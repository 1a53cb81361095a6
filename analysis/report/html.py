"""Small pieces of HTML. Whatever a record holds passes through `escape` here or at the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

MOST_ROWS = 300  # that a table lays out at first


class Cell(NamedTuple):
    """A table cell: text (escaped here) or ready HTML, what it sorts by, and its CSS class."""

    text: str
    sort: float | str | None = None
    css: str = ""
    html: bool = False


def number(value: float | None, digits: int = 0, *, sign: bool = False) -> Cell:
    """A right-aligned number; empty for None."""
    if value is None:
        return Cell("", "", "number")
    return Cell(f"{value:{'+' if sign else ''},.{digits}f}", value, "number")


def badge(word: str) -> str:
    return f'<span class="badge {escape(word)}">{escape(word)}</span>'


def table(
    heads: Sequence[str],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    *,
    sortable: bool = False,
    numbers: Iterable[int] = (),
    most: int = MOST_ROWS,
) -> str:
    """A table in a scrolling box; each row comes with the CSS class of its line. Rows beyond `most` are in
    the page but not laid out, until the reader asks for them or sorts."""
    right = set(numbers)
    head = "".join(
        f'<th class="number">{escape(text)}</th>' if index in right else f"<th>{escape(text)}</th>"
        for index, text in enumerate(heads)
    )
    lines = [
        f'<tr class="{css}">{"".join(map(_cell, cells))}</tr>'
        if css
        else f"<tr>{''.join(map(_cell, cells))}</tr>"
        for css, cells in rows
    ]
    kind = ' class="sortable"' if sortable else ""
    shown = (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines[:most])}</tbody></table></div>"
    )
    if len(lines) <= most:
        return shown
    return (
        f'<div class="long">{shown}<template>{"".join(lines[most:])}</template>'
        f'<button class="more" type="button">{most:,} of {len(lines):,} rows; show all</button></div>'
    )


def _cell(cell: Cell) -> str:
    css = f' class="{cell.css}"' if cell.css else ""
    sort = "" if cell.sort is None else f' data-sort="{escape(str(cell.sort))}"'
    return f"<td{css}{sort}>{cell.text if cell.html else escape(cell.text)}</td>"


def card(content: str, css: str = "") -> str:
    return f'<div class="card {css}">{content}</div>' if css else f'<div class="card">{content}</div>'


def section(title: str, about: str, *content: str) -> str:
    """A heading, a sentence on how to read what follows (escaped here), and what follows."""
    said = f'<p class="about">{escape(about)}</p>' if about else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(content)}</section>"


def figure(name: str) -> str:
    return card(f'<div class="figure" id="{name}"></div>')


def listing(lines: Iterable[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'

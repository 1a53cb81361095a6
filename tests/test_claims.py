"""What docs/claims.md says came out stands where it leads, or is printed by its command; it is complete."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from mdsearch.commands import run_command
from tests.test_docs import ROOT, commands, section

PAGE = ROOT / "docs" / "claims.md"
CAME_OUT = ("came out", "parameters, MACs", "FID", "ms")  # columns
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)[+-]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)")


def test_every_figure_in_a_link_stands_where_it_leads() -> None:
    assert strayed(PAGE) == []


def test_a_figure_that_stands_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "claims.md"
    (tmp_path / "page.md").write_text("# Page\n\n## One\n\n\u22127% (1,200\nto .5)\n\n## Two\n\nSD-1.5: 8\n")
    page.write_text(
        "[-7 % (1,200 to 0.50)](page.md#one) [+7](page.md#one) [1.5](page.md) [.5, 8](page.md) [8](page.md)"
    )
    assert strayed(page) == ["+7: not in page.md#one", "1.5: not in page.md", ".5, 8: not in page.md"]


def rows(text: str) -> Iterator[dict[str, str]]:
    """Those of all tables, by the names of columns."""
    names: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells or set(line) <= set("|-: "):
            names = names if cells else []
        elif not names:
            names = cells
        else:
            yield dict(zip(names, cells, strict=True))


ROWS = list(rows(PAGE.read_text()))
COUNTED = [row for row in ROWS if "mdsearch count" in row.get("command", "")]


def test_figures_beside_links_stand_where_those_lead() -> None:
    assert len(ROWS) >= 40
    for cell in (row[name] for row in ROWS for name in CAME_OUT if name in row and row not in COUNTED):
        linked = "\n".join(linked_text(PAGE, target) for _, target in LINK.findall(cell))
        assert numbers(LINK.sub("", cell)) <= numbers(linked), cell


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row["where"])
def test_what_came_out_is_what_counts_print(row: dict[str, str]) -> None:
    wanted = numbers(LINK.sub("", row["came out"]))
    printed = "\n".join(output(*words) for words in commands(row["command"]) if wanted)
    assert wanted <= numbers(printed)


@pytest.mark.parametrize(("kind", "count"), [("Table", 6), ("Figure", 9), ("equation", 5)])
def test_every_table_figure_and_equation_of_the_paper_is_there(kind: str, count: int) -> None:
    lists = re.findall(rf"\b{kind}s? (\d(?:, \d)*)", PAGE.read_text())
    assert {int(number) for each in lists for number in each.split(", ")} >= set(range(1, count + 1))


def strayed(page: Path) -> list[str]:
    """The links whose figures do not stand together, in one row or paragraph, in the section they lead to."""
    links = [
        (numbers(text), text, target)
        for text, target in LINK.findall(page.read_text())
        if "://" not in target
    ]
    return [
        f"{text}: not in {target}"
        for wanted, text, target in links
        if wanted and not any(wanted <= numbers(part) for part in parts(linked_text(page, target)))
    ]


def parts(text: str) -> list[str]:
    """Rows of tables, and paragraphs."""
    return re.split(r"\n\n|\n(?=\|)", text)


def linked_text(page: Path, target: str) -> str:
    name, _, anchor = target.partition("#")
    return section(page.parent / name if name else page, anchor)


def numbers(text: str) -> set[float]:
    """Those of a text; the digits of names (SD-1.5) are none."""
    return {float(number.replace(",", "")) for number in NUMBER.findall(text.replace("\u2212", "-"))}


@cache
def output(command: str, *words: str) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        assert run_command(command, list(words)) == 0
    return printed.getvalue()

"""How UNet and decoder share the time of an image best, where a search had a budget for one."""

from __future__ import annotations

from typing import Any

from analysis.report.html import Cell, PageTable, Row
from analysis.report.page import Page
from analysis.split import ImageSplit, split_of_run, split_sentence, split_words

PAIRS_SHOWN = 12


def split_section(page: Page) -> dict[str, Any] | None:
    split = split_of_run(page.history)
    if split is None:
        return None
    return {
        "within": split.within,
        "best": split_sentence(split),
        "table": split_table(split),
        "more": max(0, len(split.pairs) - PAIRS_SHOWN),
        "notes": split.notes,
        "beside": split.beside,
    }


def split_table(split: ImageSplit) -> PageTable:
    """The best of its front first."""
    lines = split_words(split)[:PAIRS_SHOWN]
    rows = [Row([_cell(name, text) for name, text in line.items()]) for line in lines]
    return PageTable(list(lines[0]), rows, numbers=range(2, len(lines[0])))


def _cell(name: str, text: str) -> Cell:
    return Cell(text, css="" if name in ("UNet", "decoder") else "number")

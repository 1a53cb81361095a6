"""`mdsearch table1`: Table 1 of the paper, counted anew."""

from __future__ import annotations

from pathlib import Path

from analysis.paper.table1 import measures, rows, text
from analysis.rendering import TableSettings, write
from conf.compose import compose
from space.shared.plain import from_plain


def main(words: list[str]) -> int:
    settings = from_plain(TableSettings, compose("table1", words))
    table = rows()
    write(text(table, settings), settings.out)
    if settings.picture is not None:
        from analysis.plots import Point, scatter  # matplotlib takes a second to import

        scatter([Point(*measures(row)) for row in table], Path(settings.picture))
    return 0

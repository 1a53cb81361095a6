"""`mdsearch table1`: Table 1 of the paper, counted anew."""

from __future__ import annotations

from pathlib import Path

from analysis.paper.table1 import counted_networks, measures, table1_text
from analysis.rendering import TableSettings, write_text
from conf.compose import compose
from space.shared.plain import from_plain


def main(words: list[str]) -> int:
    settings = from_plain(TableSettings, compose("table1", words))
    table = counted_networks()
    write_text(table1_text(table, settings), settings.out)
    if settings.plot is not None:
        from analysis.paper.plots import PlottedNetwork, plot_networks  # matplotlib takes a second to import

        plot_networks([PlottedNetwork(*measures(row)) for row in table], Path(settings.plot))
    return 0

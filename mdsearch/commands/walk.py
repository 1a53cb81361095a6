"""`mdsearch walk`: from SD-1.5 to MobileDiffusion, decision after decision."""

from __future__ import annotations

from pathlib import Path

from analysis.paper.walk import steps, totals, walk_text
from analysis.rendering import TableSettings, write_text
from conf.compose import compose
from space.shared.plain import from_plain


def main(words: list[str]) -> int:
    settings = from_plain(TableSettings, compose("walk", words))
    walk = steps()
    write_text(walk_text(walk, settings), settings.out)
    if settings.plot is not None:
        from analysis.paper.plots import plot_waterfall  # matplotlib takes a second to import

        title = "From SD-1.5 to MobileDiffusion, decision by decision"
        plot_waterfall(totals(walk), Path(settings.plot), title)
    return 0

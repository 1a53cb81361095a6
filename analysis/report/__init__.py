"""report.html: what a run found, in one file that opens without a network, remade from its record alone.

It can be written at any stage of a run, and says which stage that is. While the search runs, a page left open
loads itself again and stays where the reader was; browsers let no page read a file beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from analysis.report.contents import sections_of
from analysis.report.html import Live, body, html_page
from analysis.report.page import Page
from analysis.report.stage import stage
from search.runs.files import REPORT_NAME
from search.runs.record import History, read_history
from space.shared.files import write_whole


def write_report(folder: Path, *, running: bool = False, history: History | None = None) -> Path:
    """Write `report.html` of a run folder, whole or not at all; returns its path.

    With `running` the page loads itself again from time to time, until it is written without. `history` is
    what the record says, where somebody has read it already.

    Raises:
        InputError: if the folder holds no record.
    """
    page = Page(folder, history or read_history(folder), running=running)
    live = Live(stage(page.history), datetime.now(UTC)) if running else None
    title = f"{page.name}: {page.words.search}"
    text = html_page(title, body(sections_of(page), page), "the record", live)
    return write_whole(folder / REPORT_NAME, text)

"""report.html: what a run found, in one file that opens without a network, remade from its record alone.

It can be written at any stage of a run, and says which stage that is. While the search runs, a page left open
loads itself again and stays where the reader was; browsers let no page read a file beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib import resources
from pathlib import Path

from analysis.report.figures import Figure
from analysis.report.page import Page
from analysis.report.sections import sections
from analysis.report.stage import live_bar
from search.runs.files import REPORT_NAME
from search.runs.record import History, read_history
from space.shared.files import write_whole

REFRESH_SECONDS = 15


def write_report(folder: Path, *, running: bool = False, history: History | None = None) -> Path:
    """Write `report.html` of a run folder, whole or not at all; returns its path.

    With `running` the page loads itself again from time to time, until it is written without. `history` is
    what the record says, where somebody has read it already.

    Raises:
        InputError: if the folder holds no record.
    """
    page = Page(folder, history or read_history(folder), running=running)
    body, now = "\n".join(sections(page)), datetime.now(UTC)
    if running:
        body = live_bar(page.history, now) + body
    live = {"written": now.timestamp(), "seconds": REFRESH_SECONDS} if running else None
    title = f"{page.name}: architecture search"
    return write_whole(folder / REPORT_NAME, html_page(title, body, page.figures, live))


def html_page(
    title: str, body: str, figures: Mapping[str, Figure], live: Mapping[str, float] | None = None
) -> str:
    """One file with everything in it: `body` is HTML, `figures` are drawn at their element ids."""
    parts = {
        "title": escape(title),
        "body": body,
        "plotly": _plotly_javascript() if figures else "",
        # "<" would let a hostile name close the script element
        "figures": json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "live": json.dumps(live),
    }
    template = resources.files("analysis.report").joinpath("page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _plotly_javascript() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")

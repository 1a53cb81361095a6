"""report.html: what a run found, in one file that opens without a network, remade from its record alone.

It can be written at any stage of a run, and says which stage that is.
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib import resources
from pathlib import Path

from search.files import write_whole
from search.record import read_history
from search.report.page import Page
from search.report.sections import sections

REPORT_NAME = "report.html"


def write_report(folder: Path) -> Path:
    """Write `report.html` of a run folder, whole or not at all; returns its path.

    Raises:
        InputError: if the folder holds no record.
    """
    page = Page(folder, read_history(folder))
    body = "\n".join(sections(page))
    parts = {
        "title": escape(f"{page.name}: architecture search"),
        "body": body,
        "plotly": _plotly_javascript() if page.figures else "",
        # "<" would let a hostile name close the script element
        "figures": json.dumps(page.figures, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    template = resources.files("search.report").joinpath("page.html").read_text(encoding="utf-8")
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
    return write_whole(folder / REPORT_NAME, text)


def _plotly_javascript() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")

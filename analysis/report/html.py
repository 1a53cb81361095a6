"""Pages of one file: Jinja2 templates, the tables in them, and the scripts that plot and sort.

A page is a list of sections. A section is a function that says what there is to show of a subject, and the
template that shows it. Whatever a record holds is escaped by the templates; in charts, whose text plotly
reads tags in, by what makes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from search.formats import counted, duration, share, size

MOST_ROWS = 300  # that a table lays out at first
REFRESH_SECONDS = 15
LEAST_ENTRIES = 4  # of a table of contents
_HEADED = re.compile(r'<section id="([\w-]+)"><h2>(.*?)</h2>')  # as section.html writes it
Chart = Any  # a plotly.graph_objects.Figure; plotly comes without types
Subject = TypeVar("Subject")


# ---------------------------------------------------------------------- tables


class Cell(NamedTuple):
    """A table cell: its text, what it sorts by if not by that, its CSS class, and how the text looks."""

    text: str = ""
    sort: float | str | None = None
    css: str = ""
    code: bool = False
    badge: str = ""  # a word on a coloured ground, before the text
    colour: str = ""  # of a mark before the text
    bars: tuple[str, str] | None = None  # the widths of two bars, as CSS has them
    hint: str = ""  # more, when pointed at
    glyph: str = "●"  # the mark


class Row(NamedTuple):
    cells: Sequence[Cell]
    css: str = ""


@dataclass(frozen=True)
class PageTable:
    """Headings and rows. `numbers` are the columns whose heading stands to the right."""

    heads: Sequence[str]
    rows: Sequence[Row]
    numbers: Iterable[int] = ()
    sortable: bool = False

    @property
    def visible(self) -> Sequence[Row]:
        return self.rows[:MOST_ROWS]

    @property
    def rest(self) -> Sequence[Row]:
        return self.rows[MOST_ROWS:]


def number(value: float | None, digits: int = 0, *, sign: bool = False) -> Cell:
    """A right-aligned number; empty for None."""
    if value is None:
        return Cell("", "", "number")
    return Cell(f"{value:{'+' if sign else ''},.{digits}f}", value, "number")


def badge_cell(badge: str, text: str = "") -> Cell:
    """A word that the table sorts by, as a badge."""
    return Cell(text, badge, badge=badge)


# ---------------------------------------------------------------------- sections


@dataclass(frozen=True)
class Section(Generic[Subject]):
    """A part of a page. `fields` gives the template what it shows, `charts` by their element ids among it;
    None where there is nothing to show, and the part is left out."""

    template: str
    fields: Callable[[Subject], Mapping[str, Any] | None]


class Body(NamedTuple):
    """The parts of a page, rendered, and the charts to be plotted in them, as plain data by element id."""

    html: Markup
    charts: dict[str, dict[str, Any]]


def body(sections: Iterable[Section[Subject]], subject: Subject, package: str = "analysis.report") -> Body:
    """The sections in their order, by the templates of a package or else the report's."""
    parts: list[Markup] = []
    charts: dict[str, dict[str, Any]] = {}
    for section in sections:
        fields = section.fields(subject)
        if fields is not None:
            known = {name: chart for name, chart in fields.get("charts", {}).items() if chart is not None}
            charts |= {name: plain(chart) for name, chart in known.items()}
            parts.append(render_template(section.template, package, **{**fields, "charts": list(known)}))
    entries = [entry for part in parts for entry in _HEADED.findall(part)]
    if len(entries) >= LEAST_ENTRIES:
        listed = [(key, Markup(title)) for key, title in entries]  # escaped already
        parts.insert(1, render_template("contents.html", entries=listed))
    return Body(Markup("\n").join(parts), charts)


def plain(chart: Chart) -> dict[str, Any]:
    """A figure as plotly.js reads it. The page gives it colours, so plotly's own theme stays out."""
    found: dict[str, Any] = chart.to_plotly_json()
    found["layout"].pop("template", None)
    return found


# ---------------------------------------------------------------------- pages


class Live(NamedTuple):
    """What a page of a running search says of itself: how far the search is, and when that was."""

    stage: str
    written: datetime

    @property
    def clock(self) -> str:
        return f"{self.written.astimezone(UTC):%H:%M:%S}"


def html_page(title: str, body: Body, source: str, live: Live | None = None) -> str:
    """One file with everything in it, made from `source`; a live page loads itself again."""
    script = {"written": live.written.timestamp(), "seconds": REFRESH_SECONDS} if live else None
    return render_template(
        "page.html",
        title=title,
        body=body.html,
        charts=body.charts,
        source=source,
        live=live,
        live_script=script,
        plotly=_plotly_javascript() if body.charts else "",
    )


def _plotly_javascript() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def render_template(template: str, package: str = "analysis.report", **fields: Any) -> Markup:
    return Markup(_environment(package).get_template(template).render(fields))


@lru_cache
def _environment(package: str) -> Environment:
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, "analysis.report"))]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "share": share,
        "duration": duration,
        "size": size,
        "counted": counted,
        "grouped": "{:,}".format,
        "arrows": lambda line: line.replace(" -> ", " → "),
        "anchor": lambda title: re.sub(r"\W+", "-", title).strip("-").lower(),
    }
    return environment

"""The pieces that pages are made of: sections with and without anything to show, tables, and their cells."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest
from jinja2 import UndefinedError

from analysis.report.html import MOST_ROWS, Cell, PageTable, Row, Section, badge_cell, body, number
from tests.analysis.report.pages import HOSTILE, Tree, words_in

TILES = "sections/tiles.html"
TABLE = "sections/trials.html"


def test_a_section_with_nothing_to_show_is_left_out_with_its_chart() -> None:
    charts_of = {"there": go.Figure(), "absent": None}
    scores = {"labels": ["FID", "CLIP"], "corner": "top left", "bars": True, "charts": charts_of}
    sections = [
        Section(TILES, lambda subject: {"tiles": [(subject, "first")]}),
        Section("sections/curves.html", lambda _: None),
        Section("sections/scores.html", lambda _: scores),
    ]
    html, charts = body(sections, HOSTILE)
    assert words_in(html).split("FID and CLIP")[0].split() == [*HOSTILE.split(), "first"]
    assert charts == {"there": {"data": [], "layout": {}}}
    assert Tree(html).ids == ["fid-and-clip", "there"]


def test_a_field_that_a_template_misses_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="tiles"):
        body([Section(TILES, lambda _: {})], None)


def test_cells_say_what_they_sort_by_and_how_they_look() -> None:
    cells = [
        number(1234.5, 1),
        number(None),
        badge_cell("stopped", HOSTILE),
        Cell("ab", code=True),
        Cell(bars=("1%", "2%")),
    ]
    table = PageTable(["a", "<b>", "c", "d", "e"], [Row(cells, css="winner")], numbers=[0], sortable=True)
    html = body([Section(TABLE, lambda _: {"table": table})], None).html
    assert '<tr class="winner"><td class="number" data-sort="1234.5">1,234.5</td>' in html
    assert '<td class="number" data-sort=""></td>' in html
    assert '<td data-sort="stopped"><span class="badge stopped">stopped</span> &lt;/script' in html
    assert "<code>ab</code>" in html and 'class="bar confirm" style="width:2%"' in html
    assert '<th class="number">a</th>' in html and "<th>&lt;b&gt;</th>" in html
    Tree(html)


def test_rows_beyond_the_most_wait_in_a_template() -> None:
    rows = [Row([number(place)]) for place in range(MOST_ROWS + 2)]
    html = body([Section(TABLE, lambda _: {"table": PageTable(["n"], rows)})], None).html
    laid_out, waiting = html.split("<template>")
    assert laid_out.count("<tr") == 1 + MOST_ROWS and waiting.count("<tr") == 2
    assert f"{MOST_ROWS} of {MOST_ROWS + 2} rows; show all" in waiting

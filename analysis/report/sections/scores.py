"""What the trials scored: the plane of both scores, the curves, and the spread beside the noise."""

from __future__ import annotations

from typing import Any

from analysis.report.charts.curves import learning_curves
from analysis.report.charts.scores import pareto
from analysis.report.html import Cell, PageTable, Row, number
from analysis.report.page import Page
from analysis.spread import spreads
from search.formats import share
from search.runs.header import objectives_of


def score_section(page: Page) -> dict[str, Any]:
    return {"charts": {"pareto": pareto(page.history, page.winner)}}


def curve_section(page: Page) -> dict[str, Any]:
    history, objectives = page.history, objectives_of(page.history)
    fid = learning_curves(history, objectives[0].name, "FID, lower is better", page.winner)
    clip = learning_curves(history, objectives[1].name, "CLIP, higher is better", page.winner)
    return {"charts": {"curve-fid": fid, "curve-clip": clip}}


def spread_section(page: Page) -> dict[str, Any] | None:
    found = spreads(page.history)
    if not found:
        return None
    heads = ["step", "trials", "median FID", "FID spread", "FID noise", "FID pairs apart"]
    heads += ["median CLIP", "CLIP spread", "CLIP noise", "CLIP pairs apart"]
    rows = [
        Row(
            [
                number(s.step),
                number(s.trials),
                number(s.fid_median, 2),
                Cell(share(s.fid_relative), css="number"),
                Cell(share(s.noise.fid_relative), css="number"),
                Cell(share(s.fid_pairs), css="number"),
                number(s.clip_median, 3),
                number(s.clip, 3),
                number(s.noise.clip, 3),
                Cell(share(s.clip_pairs), css="number"),
            ]
        )
        for s in found
    ]
    return {"table": PageTable(heads, rows, numbers=range(10))}

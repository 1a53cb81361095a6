"""What the trials scored: the planes of every two scores, the curves, and the spread beside the noise."""

from __future__ import annotations

from typing import Any

from analysis.report.charts.curves import learning_curves
from analysis.report.charts.decision import PRICE_AXES, decision
from analysis.report.charts.marks import FIRST_TWO
from analysis.report.charts.scores import best_corner, pareto, planes
from analysis.report.html import Cell, PageTable, Row, number
from analysis.report.page import Page
from analysis.spread import ScoreSpread, spreads
from search.formats import share
from search.runs.header import noise_of, objectives_of


def score_section(page: Page) -> dict[str, Any]:
    objectives = objectives_of(page.history)
    charts = {
        "pareto" if plane == FIRST_TWO else f"pareto-{plane[0]}-{plane[1]}": pareto(
            page.history, page.winner, plane
        )
        for plane in planes(objectives)
    }
    labels = [objective.label for objective in objectives]
    return {"labels": labels, "charts": charts, "bars": _has_bars(page), "corner": best_corner(objectives)}


def decision_section(page: Page) -> dict[str, Any] | None:
    """Each score by each price; None before a trial is complete."""
    charts = {
        f"cost-{objective.label.lower()}-{priced}": decision(page.history, page.winner, place, priced)
        for place, objective in enumerate(objectives_of(page.history))
        for priced in PRICE_AXES
    }
    shown = any(chart is not None for chart in charts.values())
    return {"charts": charts, "bars": _has_bars(page), "scale": page.words.scale} if shown else None


def _has_bars(page: Page) -> bool:
    """Whether marks show how far noise reaches, as far as that is known beforehand."""
    noise = noise_of(page.history)
    return noise is not None and noise.known(objectives_of(page.history))


def curve_section(page: Page) -> dict[str, Any]:
    charts = {
        f"curve-{objective.label.lower()}": learning_curves(page.history, objective, page.winner)
        for objective in objectives_of(page.history)
    }
    return {"charts": charts}


def spread_section(page: Page) -> dict[str, Any] | None:
    found = spreads(page.history)
    if not found:
        return None
    heads = ["step", "trials"]
    for objective in objectives_of(page.history):
        label = objective.label
        heads += [f"median {label}", f"{label} spread"]
        heads += [] if objective.exact else [f"{label} noise", f"{label} pairs apart"]
    rows = [
        Row([number(at.step), number(at.trials), *(cell for each in at.each for cell in _spread_cells(each))])
        for at in found
    ]
    return {"table": PageTable(heads, rows, numbers=range(len(heads)))}


def _spread_cells(each: ScoreSpread) -> list[Cell]:
    objective = each.objective
    spread, noise = (
        _share_cell(value) if objective.scale == "log" else number(value, objective.decimals)
        for value in (each.spread, each.noise)
    )
    of_noise = [] if objective.exact else [noise, _share_cell(each.pairs)]
    return [number(each.median, objective.decimals), spread, *of_noise]


def _share_cell(value: float | None) -> Cell:
    return Cell("" if value is None else share(value), css="number")

"""Trials of earlier runs that taught this search: what they are, apart from its own."""

from __future__ import annotations

from collections import Counter

from analysis.report.html import Cell, badge, card, number, section, table
from analysis.report.page import Page
from search.formats import counted, millions
from search.runs.header import objectives_of
from search.runs.record import Trial
from search.runs.scores import best_first

MOST_SHOWN = 20


def prior_section(page: Page) -> str:
    """Empty for a search that began without."""
    known, objectives = page.history.prior, objectives_of(page.history)
    if not known:
        return ""
    runs = ", ".join(f"{n} of {run}" for run, n in Counter(trial.source for trial in known).items())
    about = (
        f"{counted(len(known), 'trial')} of earlier runs ({runs}), known to the sampler and to the stopping "
        "rule before this search began. They are hollow in the charts, and none of its own trials, which "
        "alone are counted and can win."
    )
    shown = known
    if len(known) > MOST_SHOWN:
        shown = best_first(known, objectives)[:MOST_SHOWN]
        about += f" The table has the best {len(shown)}."
    heads = ["trial", "state", "architecture", "parameters", "GMACs", "steps", "FID", "CLIP"]
    rows = [("", _row(trial, objectives[0].name, objectives[1].name)) for trial in shown]
    return section("Prior knowledge", about, card(table(heads, rows, sortable=True, numbers=range(3, 8))))


def _row(trial: Trial, fid: str, clip: str) -> list[Cell]:
    return [
        Cell(trial.name),
        Cell(badge(trial.state), trial.state, html=True),
        Cell(f"<code>{trial.architecture.id}</code>", html=True),
        Cell(millions(trial.cost.parameters), trial.cost.parameters, "number"),
        number(trial.cost.gmacs, 1),
        number(trial.last_step),
        number(trial.score(fid), 2),
        number(trial.score(clip), 3),
    ]

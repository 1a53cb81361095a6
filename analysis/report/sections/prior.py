"""Trials of earlier runs that taught this search: what they are, apart from its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

from analysis.report.html import Cell, PageTable, Row, badge_cell, number
from analysis.report.page import Page
from search.formats import gmacs_decimals, millions, state_word
from search.objectives import Objectives
from search.runs.elsewhere import elsewhere_words
from search.runs.header import objectives_of
from search.runs.record import Trial
from search.runs.scores import best_first
from search.runs.teachers import known_references, reference_note

PRIOR_TRIALS_SHOWN = 20


def prior_section(page: Page) -> dict[str, Any] | None:
    """None for a search that began without."""
    known, objectives = page.history.prior, objectives_of(page.history)
    elsewhere = elsewhere_words(page.history)
    if not known and not elsewhere:
        return None
    runs = ", ".join(f"{n} of {run}" for run, n in Counter(trial.source for trial in known).items())
    shown = known
    if len(known) > PRIOR_TRIALS_SHOWN:
        shown = best_first(known, objectives)[:PRIOR_TRIALS_SHOWN]
    heads = ["trial", "state", "architecture", "parameters", "GMACs", "steps"]
    heads += [objective.label for objective in objectives]
    rows = [Row(_cells(trial, objectives)) for trial in shown]
    heard = [*known, *(trial for trial, _, _ in page.history.elsewhere)]
    held = known_references(heard, page.references.values())
    return {
        "elsewhere": elsewhere,
        "known": len(known),
        "held": reference_note(held),
        "runs": runs,
        "shown": len(shown),
        "table": PageTable(heads, rows, numbers=range(3, len(heads)), sortable=True),
    }


def _cells(trial: Trial, objectives: Objectives) -> list[Cell]:
    return [
        Cell(trial.name),
        badge_cell(state_word(trial.state)),
        Cell(trial.architecture.id, code=True),
        Cell(millions(trial.cost.parameters), trial.cost.parameters, "number"),
        number(trial.cost.gmacs, gmacs_decimals(trial.cost.gmacs)),
        number(trial.last_step),
        *(number(trial.score(each.name), each.decimals) for each in objectives),
    ]

"""What was refused, what the choices explain, where the time went, and where it all comes from."""

from __future__ import annotations

import json
from typing import Any

from analysis.findings import evolution_in_words, ranking_in_words, refusals, seconds_by_kind
from analysis.importances import LEAST_TRIALS_FOR_IMPORTANCES, importances
from analysis.report.charts.costs import costs
from analysis.report.charts.importances import importance_bars
from analysis.report.html import Cell, PageTable, Row, number
from analysis.report.page import Page
from search.formats import duration, gmacs_decimals, share
from search.runs.files import PROVENANCE_NAME
from search.runs.record import History

ROWS_OF_REFUSALS = 50


def budget_section(page: Page) -> dict[str, Any]:
    history = page.history
    kinds = [Row([Cell(kind), number(count)]) for kind, count in refusals(history).items()]
    return {
        "charts": {"costs": costs(history, page.winner, page.references)},
        "refused": len(history.rejections),
        "trained": len(history.trials),
        "ranking": ranking_in_words(history) or evolution_in_words(history),
        "rounds": _rounds(history),
        "kinds": PageTable(["refused for", "proposals"], kinds, numbers=[1]),
        "refusals": _refusals(history),
    }


def _rounds(history: History) -> PageTable:
    """Each action with what the network scores and costs before it, and without or with its stage."""
    rows = []
    for event in history.evolved:
        known = {row["stage"]: row for row in event["stages"]}
        for action in event["actions"]:
            own = known[action.partition(" ")[2]]
            figures = [event["score"], own["score"], event["cost_before"], own["cost"], own["value"]]
            cells = [Cell("" if figure is None else f"{figure:.4g}", css="number") for figure in figures]
            rows.append(Row([number(event["round"]), Cell(action, code=True), *cells]))
    heads = ["round", "action", "score", "without", "cost", "without", "value"]
    return PageTable(heads, rows, numbers=(0, 2, 3, 4, 5, 6))


def _refusals(history: History) -> PageTable:
    rows = [
        Row(
            [
                number(r.before_trial),
                Cell(r.architecture_id, code=True),
                number(r.parameters / 1e6, 1 if r.parameters >= 1e6 else 3),
                number(r.gmacs, gmacs_decimals(r.gmacs)),
                Cell(r.kind),
                Cell(r.reason),
            ]
        )
        for r in history.rejections[:ROWS_OF_REFUSALS]
    ]
    heads = ["before trial", "architecture", "parameters (M)", "GMACs", "kind", "reason"]
    return PageTable(heads, rows, numbers=(0, 2, 3), sortable=True)


def importance_section(page: Page) -> dict[str, Any]:
    found = importances(page.history)
    return {
        "found": found,
        "least": LEAST_TRIALS_FOR_IMPORTANCES,
        "charts": {"importances": importance_bars(found) if found is not None else None},
    }


def time_section(page: Page) -> dict[str, Any] | None:
    kinds = seconds_by_kind(page.history)
    total = sum(search + confirm for search, confirm in kinds.values())
    if not total:
        return None
    longest = max(search + confirm for search, confirm in kinds.values())
    rows = [
        Row(
            [
                Cell(kind),
                Cell(duration(search + confirm), css="number"),
                Cell(share((search + confirm) / total), css="number"),
                Cell(bars=(f"{search / longest:.1%}", f"{confirm / longest:.1%}")),
            ]
        )
        for kind, (search, confirm) in kinds.items()
    ]
    ends = [trial.ended for trial in page.history.by_key.values() if trial.ended]
    passed = max(ends, default=0.0) - min(trial.started for trial in page.history.by_key.values())
    return {
        "worked": total,
        "passed": passed,
        "sessions": len(page.history.sessions),
        "table": PageTable(["work", "time", "share", ""], rows, numbers=[1, 2]),
    }


def provenance_section(page: Page) -> dict[str, Any]:
    """Folded: everything one needs to compare these figures with others."""
    path = page.folder / PROVENANCE_NAME
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    blocks = {"Provenance": known, "The run, as recorded": page.history.header}
    return {
        "blocks": {title: json.dumps(data, indent=2, default=str) for title, data in blocks.items() if data}
    }

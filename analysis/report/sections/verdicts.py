"""How sure the outcome is: verdicts, the race behind them, and the noise."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from analysis.findings import confirmed
from analysis.report.charts.race import closing_intervals
from analysis.report.charts.scores import confirmation
from analysis.report.html import Cell, PageTable, Row, badge_cell, number
from analysis.report.page import Page
from search.confirmation.repeats import estimated, noise_row
from search.formats import counted, label, state_word
from search.objectives import Objectives
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.scores import point_of
from search.statistics.pareto import Point
from search.statistics.verdicts import (
    Evidence,
    Interval,
    Verdict,
    confirmation_runs,
    confirmed_trials,
)


def verdict_section(page: Page) -> dict[str, Any]:
    """Who got how many seeds and where each stands, how the intervals closed, every run and why."""
    if not confirmed(page.history):
        return {"confirmed": False}
    objectives = objectives_of(page.history)
    heads, rows = verdict_heads(objectives), [Row(verdict_row(each, objectives)) for each in page.verdicts]
    return {
        "confirmed": True,
        "verdicts": PageTable(heads, rows, numbers=range(3, len(heads))) if rows else None,
        "better": [each.title for each in objectives],
        "told_apart": _told_apart(page),
        "repeats": _repeats_beforehand(page),
        "unknown": page.noise_unknown,
        "field": _field(page),
        "runs": _run_table(page),
        "runs_title": counted(len(page.history.confirmations), "confirmation run"),
        "charts": {
            "confirmation": confirmation(page.history, page.winner),
            **closing_intervals(page.history, page.winner),
        },
    }


def _told_apart(page: Page) -> list[tuple[str, str]]:
    """After how many seeds (the fewest and the most of a verdict) from how far apart on."""
    noise, objectives = noise_of(page.history), objectives_of(page.history)
    if noise is None or not page.verdicts:
        return []
    steps = page.verdicts[0].steps
    raced = confirmed_trials(page.history, references_of(page.history))
    evidence = Evidence(confirmation_runs(raced, objectives).get(steps, {}), steps, noise)
    seeds = {verdict.seeds for verdict in page.verdicts if verdict.steps == steps}
    found = []
    for count in sorted({min(seeds), max(seeds)}):
        reach = evidence.reach(count)
        if all(map(isfinite, reach)):
            each = zip(objectives, reach, strict=True)
            words = [one.apart_text(half) for one, half in each if not one.exact]
            found.append((counted(count, "seed"), " or ".join(words)))
    return found


def _repeats_beforehand(page: Page) -> int:
    """What the stated noise was measured with; 0 where it says nothing here."""
    noise = noise_of(page.history)
    known = noise is not None and noise.known(objectives_of(page.history))
    return int(noise.degrees_of_freedom) if noise is not None and known else 0


def verdict_heads(objectives: Objectives) -> list[str]:
    return ["network", "against", "verdict", *difference_heads(objectives), "seeds", "steps"]


def verdict_row(verdict: Verdict, objectives: Objectives) -> list[Cell]:
    """The cells under `verdict_heads`."""
    return [
        Cell(verdict.name),
        Cell(verdict.against),
        badge_cell(verdict.word),
        *difference_cells(objectives, [verdict.difference(each.label) for each in objectives]),
        number(verdict.seeds),
        number(verdict.steps),
    ]


def difference_heads(objectives: Objectives) -> list[str]:
    return [head for objective in objectives for head in (objective.label, "between")]


def difference_cells(objectives: Objectives, found: Sequence[Interval]) -> list[Cell]:
    """Of each objective the difference and between what it lies."""
    cells = []
    for objective, each in zip(objectives, found, strict=True):
        middle, low, high = map(objective.difference_text, (each.middle, each.low, each.high))
        cells.append(Cell(middle, each.middle, "number"))
        reach = f"{low} and {high}" if each.known else "unknown"
        cells.append(Cell("exact" if objective.exact else reach, css="number"))
    return cells


def _field(page: Page) -> PageTable:
    objectives = objectives_of(page.history)
    rows = [
        Row(
            [
                Cell(label(group.name)),
                number(len(group.points)),
                number(group.steps),
                *_score_cells(objectives, group.mean),
                _place(page, group.name),
            ],
            css="winner" if page.winner and group.name == page.winner.name else "",
        )
        for group in sorted(confirmed(page.history), key=lambda group: (-group.steps, -len(group.points)))
    ]
    means = [f"mean {objective.label}" for objective in objectives]
    return PageTable(["network", "seeds", "steps", *means, ""], rows, numbers=range(1, 3 + len(objectives)))


def _score_cells(objectives: Objectives, point: Point | None) -> list[Cell]:
    values = point.values if point is not None else [None] * len(objectives)
    return [number(value, each.decimals) for each, value in zip(objectives, values, strict=True)]


def _place(page: Page, name: str) -> Cell:
    if name in references_of(page.history):
        return Cell("reference")
    if page.lead is not None and name == page.lead.winner.name:
        return Cell(badge="winner")
    if page.lead is not None and name in (trial.name for trial in page.lead.beaten):
        worse = [v.against for v in page.verdicts if v.name == name and v.word == "worse"]
        worse += [v.name for v in page.verdicts if v.against == name and v.word == "better"]
        return Cell(f"out: worse than {', '.join(worse)}", badge="worse")
    return Cell("still in")


def _run_table(page: Page) -> PageTable:
    """Every confirmation run, failed ones too, in the order of their start."""
    objectives = objectives_of(page.history)
    rows = [
        Row(
            [
                Cell(label(trial.name)),
                Cell(str(trial.seed), trial.seed, "number"),
                number(trial.last_step or None),
                *_score_cells(objectives, point_of(trial, objectives)),
                Cell(trial.reason, badge=state_word(trial.state)),
                Cell(trial.why, css="wide"),
            ]
        )
        for trial in page.history.confirmations
    ]
    labels = [objective.label for objective in objectives]
    heads = ["run of", "seed", "steps", *labels, "state", "why it was started"]
    return PageTable(heads, rows, numbers=range(1, 3 + len(labels)))


def noise_section(page: Page) -> dict[str, Any] | None:
    """The noise at each rung, as stated and as this record's repeated seeds show it."""
    noise = noise_of(page.history)
    found = estimated([page.history], noise) if noise is not None else []
    if not found or not any(each.seeds or each.resampled is not None for each in found):
        return None
    lines = [noise_row(each) for each in found]
    rows = [Row([Cell(text, css="number") for text in line.values()]) for line in lines]
    table = PageTable(list(lines[0]), rows, numbers=range(len(lines[0])))
    return {"table": table, "unknown": page.noise_unknown}

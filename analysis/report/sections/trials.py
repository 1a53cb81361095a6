"""Every trial: what it was, what it scored, and why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.findings import reruns, steps_saved
from analysis.report.html import MOST_ROWS, Cell, PageTable, Row, badge_cell, number
from analysis.report.page import Page
from search.formats import duration, ending, gmacs_decimals, millions, state_word, summary_lines
from search.objectives import VALIDATION_LOSS, Objective
from search.runs.header import objectives_of
from search.runs.record import History, Trial

FAILURES_LISTED = 100
# shown also where it decides nothing
LOSS = Objective(VALIDATION_LOSS, "minimize", "log", "validation loss")


def trial_section(page: Page) -> dict[str, Any]:
    trials, objectives = list(page.history.trials), objectives_of(page.history)
    if page.winner is not None and len(trials) > MOST_ROWS:
        trials = [page.winner, *(trial for trial in trials if trial is not page.winner)]
    scores = {each.label: each for each in objectives}
    if all(each.name != VALIDATION_LOSS for each in objectives):
        scores[LOSS.label] = LOSS
    heads = ["trial", "state", "architecture", "parameters", "GMACs", "steps", *scores]
    rows = [
        Row(
            _trial_cells(trial, list(scores.values()), hint=len(trials) <= MOST_ROWS),
            "winner" if trial is page.winner else "",
        )
        for trial in trials
    ]
    numbers = (0, *range(3, len(heads) + 1))
    return {"table": PageTable([*heads, "time", "why it ended"], rows, numbers=numbers, sortable=True)}


def _trial_cells(trial: Trial, scores: Sequence[Objective], *, hint: bool) -> list[Cell]:
    choices = "\n".join(summary_lines(trial.architecture)) if hint else ""
    return [
        number(trial.number),
        badge_cell(state_word(trial.state)),
        Cell(trial.architecture.id, code=True, hint=choices),
        Cell(millions(trial.cost.parameters), trial.cost.parameters, "number"),
        number(trial.cost.gmacs, gmacs_decimals(trial.cost.gmacs)),
        Cell(f"{trial.last_step} / {trial.steps}", trial.last_step, "number"),
        *(number(trial.score(each.name), each.decimals) for each in scores),
        Cell(duration(trial.seconds), round(trial.seconds, 3), "number"),
        Cell(ending(trial), css="wide"),
    ]


def stopping_section(page: Page) -> dict[str, Any]:
    history = page.history
    stopped = [trial for trial in history.trials if trial.state == "halted"]
    rows = [
        Row(
            [
                number(trial.number),
                number(trial.last_step),
                number(trial.steps - trial.last_step),
                Cell(ending(trial), css="wide"),
            ]
        )
        for trial in stopped
    ]
    heads = ["trial", "stopped at step", "steps spared", "why"]
    again = reruns(history)
    return {
        "stopped": len(stopped),
        "saved": steps_saved(history.trials),
        "table": PageTable(heads, rows, numbers=range(3), sortable=True),
        "reruns": len(again),
        "wrong": [trial.name for trial, _, wrongly in again if wrongly],
        "failures": _failures(history),
    }


def _failures(history: History) -> list[str]:
    failed = [trial for trial in history.trials if trial.state == "failed"]
    lines = [f"{trial.name}: {ending(trial)}" for trial in failed[:FAILURES_LISTED]]
    if len(failed) > FAILURES_LISTED:
        lines.append(f"and {len(failed) - FAILURES_LISTED:,} more")
    return lines

"""How sure the outcome is: verdicts, the race behind them, and the noise."""

from __future__ import annotations

from typing import Any

from analysis.findings import confirmed
from analysis.report.charts.race import closing_intervals
from analysis.report.charts.scores import confirmation
from analysis.report.html import Cell, PageTable, Row, number, word
from analysis.report.page import Page
from search.confirmation.repeats import estimated, shown
from search.formats import counted, label, state_word
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.scores import point_of
from search.statistics.verdicts import Interval, Verdict

VERDICT_HEADS = ("network", "against", "verdict", "FID", "between", "CLIP", "between", "seeds", "steps")


def verdict_section(page: Page) -> dict[str, Any]:
    """Who got how many seeds and where each stands, how the intervals closed, every run and why."""
    if not confirmed(page.history):
        return {"confirmed": False}
    rows = [Row(verdict_row(verdict)) for verdict in page.verdicts]
    return {
        "confirmed": True,
        "verdicts": PageTable(VERDICT_HEADS, rows, numbers=range(3, 9)) if rows else None,
        "field": _field(page),
        "runs": _run_table(page),
        "runs_title": counted(len(page.history.confirmations), "confirmation run"),
        "charts": {
            "confirmation": confirmation(page.history),
            **closing_intervals(page.history, page.winner),
        },
    }


def verdict_row(verdict: Verdict) -> list[Cell]:
    """The cells under `VERDICT_HEADS`."""
    fid, clip = verdict.fid, verdict.clip
    return [
        Cell(verdict.name),
        Cell(verdict.against),
        word(verdict.word),
        Cell(f"{fid.middle:+.0%}", fid.middle, "number"),
        Cell(_ends(fid, "+.0%"), css="number"),
        number(clip.middle, 3, sign=True),
        Cell(_ends(clip, "+.3f"), css="number"),
        number(verdict.seeds),
        number(verdict.steps),
    ]


def _ends(interval: Interval, form: str) -> str:
    return f"{interval.low:{form}} and {interval.high:{form}}"


def _field(page: Page) -> PageTable:
    rows = [
        Row(
            [
                Cell(label(group.name)),
                number(len(group.points)),
                number(group.steps),
                number(group.mean.fid, 2),
                number(group.mean.clip, 3),
                _place(page, group.name),
            ],
            css="winner" if page.winner and group.name == page.winner.name else "",
        )
        for group in sorted(confirmed(page.history), key=lambda group: (-group.steps, -len(group.points)))
    ]
    return PageTable(["network", "seeds", "steps", "mean FID", "mean CLIP", ""], rows, numbers=range(1, 5))


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
    rows = []
    for trial in page.history.confirmations:
        point = point_of(trial, objectives_of(page.history))
        rows.append(
            Row(
                [
                    Cell(label(trial.name)),
                    Cell(str(trial.seed), trial.seed, "number"),
                    number(trial.last_step or None),
                    number(point.fid if point else None, 2),
                    number(point.clip if point else None, 3),
                    Cell(trial.reason, badge=state_word(trial.state)),
                    Cell(trial.why, css="wide"),
                ]
            )
        )
    heads = ["run of", "seed", "steps", "FID", "CLIP", "state", "why it was started"]
    return PageTable(heads, rows, numbers=range(1, 5))


def noise_section(page: Page) -> dict[str, Any] | None:
    """The noise at each rung, as stated and as this record's repeated seeds show it."""
    noise = noise_of(page.history)
    found = estimated([page.history], noise) if noise is not None else []
    if not found or not any(each.seeds or each.resampled is not None for each in found):
        return None
    lines = [shown(each) for each in found]
    rows = [Row([Cell(text, css="number") for text in line.values()]) for line in lines]
    return {"table": PageTable(list(lines[0]), rows, numbers=range(len(lines[0])))}

"""What each part of the comparison says: a function a part, which gives its template the fields."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Any

from analysis.comparison.charts import curves_of_progress, fronts_of_runs, run_colour
from analysis.comparison.runs import (
    Run,
    RunLedger,
    WinnersVerdict,
    ledger,
    settings_that_differ,
    widest_noise,
    winners_verdicts,
)
from analysis.findings import all_verdicts
from analysis.report.html import Cell, PageTable, Row, number, word
from analysis.report.sections.verdicts import VERDICT_HEADS, verdict_row
from search.formats import counted, duration, share
from search.runs.header import objectives_of, trials_asked
from search.statistics.verdicts import Interval
from space.difference import difference


def comparison_headline(runs: Sequence[Run]) -> dict[str, Any]:
    objectives, verdicts = objectives_of(runs[0].history), winners_verdicts(runs)
    names = [run.name for run in runs]
    decided = [verdict for verdict in verdicts if verdict.word != "undecided"]
    return {
        "facts": ["Searches compared", *names, f"{objectives[0].name} and {objectives[1].name}"],
        "claim": _claim(runs, verdicts),
        "lines": [f"{sentence(verdict)}." for verdict in (verdicts[1:] if decided else ())],
    }


def _claim(runs: Sequence[Run], verdicts: Sequence[WinnersVerdict]) -> str:
    without = [run.name for run in runs if run.winner is None]
    if without:
        return f"Nothing can be said of {', '.join(without)}: no trial was trained to its full length."
    if verdicts and all(verdict.word == "undecided" for verdict in verdicts):
        return "Undecided: no run's winner is better than another's beyond the noise."
    return f"{sentence(verdicts[0])}." if verdicts else "No noise is stated, so nothing can be decided."


def sentence(verdict: WinnersVerdict) -> str:
    """`The winner of a (trial 7) is better than that of b (trial 3), by 4 seeds of 500 steps`."""
    ours, theirs = verdict.run.winner, verdict.against.winner
    assert ours is not None and theirs is not None
    one, other = f"{verdict.run.name} ({ours.name})", f"{verdict.against.name} ({theirs.name})"
    if verdict.word == "the same network":
        return f"{one} and {other} found the same network"
    if verdict.word == "undecided":
        return f"Between the winners of {one} and {other} it is undecided, by {_by(verdict)}"
    words = {"mixed": "better in one score and worse in the other than", "equivalent": "equivalent to"}
    found = words.get(verdict.word, f"{verdict.word} than")
    return f"The winner of {one} is {found} that of {other}, by {_by(verdict)}"


def _by(verdict: WinnersVerdict) -> str:
    return (
        f"{counted(verdict.seeds, 'seed')} of {verdict.steps} steps" if verdict.seeds else "one run of each"
    )


def ledgers_section(runs: Sequence[Run]) -> dict[str, Any]:
    heads = ["run", "trials", "complete", "stopped", "failed", "refused for budget", "tried before", "prior"]
    heads += ["steps trained", "spared", "search time", "confirmation"]
    rows = [Row(_ledger_cells(place, run, ledger(run.history))) for place, run in enumerate(runs)]
    return {"table": PageTable(heads, rows, numbers=range(1, 12))}


def _ledger_cells(place: int, run: Run, counts: RunLedger) -> list[Cell]:
    spared = counts.saved / (counts.saved + counts.steps) if counts.saved else 0.0
    return [
        _name(place, run),
        number(trials_asked(run.history)),
        number(counts.complete),
        number(counts.halted),
        number(counts.failed),
        number(counts.over_budget),
        number(counts.duplicates),
        number(counts.prior),
        number(counts.steps),
        Cell(f"{counts.saved:,} ({share(spared)})", counts.saved, "number"),
        Cell(duration(counts.search_seconds), css="number"),
        Cell(duration(counts.confirm_seconds), css="number"),
    ]


def _name(place: int, run: Run) -> Cell:
    return Cell(run.name, colour=run_colour(place))


def settings_section(runs: Sequence[Run]) -> dict[str, Any]:
    rows = [Row([Cell(name), *map(Cell, values)]) for name, values in settings_that_differ(runs).items()]
    return {"table": PageTable(["setting", *(run.name for run in runs)], rows)}


def fronts_section(runs: Sequence[Run]) -> dict[str, Any]:
    noise = widest_noise(runs)
    apart = None
    if noise is not None:  # of two single runs
        at, deviations = noise.rungs[0], noise.deviations * 2**0.5
        apart = {"fid": exp(deviations * at.fid_relative), "clip": deviations * at.clip}
    return {"apart": apart, "charts": {"fronts": fronts_of_runs(runs)}}


def winners_section(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Each winner, whom it cannot be told from, the verdicts between them, and how the networks differ."""
    known = [(run, run.winner) for run in runs if run.winner is not None]
    if not known:
        return None
    first_run, first = known[0]
    changes = {
        f"From {first_run.name} ({first.name}) to {run.name} ({winner.name})": difference(
            first.architecture, winner.architecture
        )
        for run, winner in known[1:]
    }
    rows = [Row(_winners_cells(verdict)) for verdict in winners_verdicts(runs)]
    heads = ["winner of", "against that of", "verdict", "by", "FID", "between", "CLIP", "between"]
    return {
        "table": PageTable(heads, rows, numbers=range(4, 8)) if rows else None,
        "winners": known,
        "changes": changes,
    }


def _winners_cells(verdict: WinnersVerdict) -> list[Cell]:
    return [
        Cell(verdict.run.name),
        Cell(verdict.against.name),
        word(verdict.word),
        Cell(_by(verdict)),
        *_interval_cells(verdict.fid, "+.0%"),
        *_interval_cells(verdict.clip, "+.3f"),
    ]


def _interval_cells(interval: Interval | None, form: str) -> list[Cell]:
    if interval is None:
        return [Cell(css="number")] * 2
    ends = f"{interval.low:{form}} and {interval.high:{form}}"
    return [Cell(f"{interval.middle:{form}}", css="number"), Cell(ends, css="number")]


def progress_section(runs: Sequence[Run]) -> dict[str, Any] | None:
    charts = curves_of_progress(runs)
    return {"charts": charts} if charts else None


def verdicts_by_run_section(runs: Sequence[Run]) -> dict[str, Any]:
    rows = [
        Row([_name(place, run), *verdict_row(verdict)])
        for place, run in enumerate(runs)
        for verdict in all_verdicts(run.history)
    ]
    return {"table": PageTable(["run", *VERDICT_HEADS], rows, numbers=range(4, 10))}

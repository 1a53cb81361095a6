"""What each part of the comparison says: a function a part, which gives its template the fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.comparison.charts import curves_of_progress, fronts_of_runs
from analysis.comparison.runs import (
    Run,
    RunLedger,
    WinnersVerdict,
    ledger,
    objectives_of_all,
    settings_that_differ,
    widest_noise,
    winners_verdicts,
)
from analysis.findings import all_verdicts
from analysis.report.charts.marks import FIRST_TWO
from analysis.report.charts.scores import best_corner, planes
from analysis.report.html import Cell, PageTable, Row, badge_cell, number
from analysis.report.sections.verdicts import (
    difference_cells,
    difference_heads,
    verdict_heads,
    verdict_row,
)
from analysis.series import look
from analysis.split import split_of_run, split_sentence
from search.formats import counted, duration, share
from search.objectives import Objectives
from search.runs.header import trials_asked
from search.statistics.noise import Noise, noisy
from space.candidates import candidate_difference


def comparison_headline(runs: Sequence[Run]) -> dict[str, Any]:
    objectives, verdicts = objectives_of_all(runs), winners_verdicts(runs)
    names = [run.name for run in runs]
    decided = any(map(_decided, verdicts))
    return {
        "facts": ["Searches compared", *names, " and ".join(each.name for each in objectives)],
        "claim": _claim(runs, verdicts),
        "lines": [f"{sentence(verdict)}." for verdict in (verdicts[1:] if decided else ())],
    }


def _claim(runs: Sequence[Run], verdicts: Sequence[WinnersVerdict]) -> str:
    without = [run.name for run in runs if run.winner is None]
    if without:
        return f"Nothing can be said of {', '.join(without)}: no trial was trained to its full length."
    noise = widest_noise(runs)
    if noise is not None and not noise.known(objectives_of_all(runs)) and not any(map(_decided, verdicts)):
        return "Undecided: what is noise under this protocol nobody has measured."
    if verdicts and all(verdict.word == "undecided" for verdict in verdicts):
        return "Undecided: no run's winner is better than another's beyond the noise."
    return f"{sentence(verdicts[0])}." if verdicts else "No noise is stated, so nothing can be decided."


def _decided(verdict: WinnersVerdict) -> bool:
    return verdict.word != "undecided"


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
        number(counts.stopped),
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
    own = look(place)
    return Cell(run.name, colour=own.colour, glyph=own.glyph)


def splits_section(runs: Sequence[Run]) -> dict[str, Any] | None:
    """How the time of an image is shared best, of the runs that had a budget for one."""
    known = [(place, run, split) for place, run in enumerate(runs) if (split := split_of_run(run.history))]
    rows = [
        Row([_name(place, run), Cell(f"{split_sentence(split)}.", css="wide")]) for place, run, split in known
    ]
    return {"table": PageTable(["run", "best split"], rows)} if rows else None


def settings_section(runs: Sequence[Run]) -> dict[str, Any]:
    rows = [Row([Cell(name), *map(Cell, values)]) for name, values in settings_that_differ(runs).items()]
    return {"table": PageTable(["setting", *(run.name for run in runs)], rows)}


def fronts_section(runs: Sequence[Run]) -> dict[str, Any]:
    noise, objectives = widest_noise(runs), objectives_of_all(runs)
    return {
        "corner": best_corner(objectives),
        "labels": [objective.label for objective in objectives],
        "apart": _apart(noise, objectives) if noise is not None else [],
        "charts": {
            "fronts" if plane == FIRST_TWO else f"fronts-{plane[0]}-{plane[1]}": fronts_of_runs(runs, plane)
            for plane in planes(objectives)
        },
    }


def _apart(noise: Noise, objectives: Objectives) -> list[str]:
    """From where on two single runs differ beyond the noise: `a factor of 1.25 in FID`, `0.045 in CLIP`."""
    at, deviations = noise.rungs[0], noise.deviations * 2**0.5
    return [
        objective.apart_text(deviations * one)
        for objective in noisy(objectives)
        if (one := at.deviation(objective)) is not None
    ]


def winners_section(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Each winner, whom it cannot be told from, the verdicts between them, and how the networks differ."""
    known = [(run, run.winner) for run in runs if run.winner is not None]
    if not known:
        return None
    first_run, first = known[0]
    changes = {
        f"From {first_run.name} ({first.name}) to {run.name} ({winner.name})": candidate_difference(
            first.architecture, winner.architecture
        )
        for run, winner in known[1:]
    }
    objectives = objectives_of_all(runs)
    rows = [Row(_winners_cells(verdict, objectives)) for verdict in winners_verdicts(runs)]
    heads = ["winner of", "against that of", "verdict", "by", *difference_heads(objectives)]
    return {
        "table": PageTable(heads, rows, numbers=range(4, len(heads))) if rows else None,
        "winners": known,
        "changes": changes,
    }


def _winners_cells(verdict: WinnersVerdict, objectives: Objectives) -> list[Cell]:
    none = [Cell(css="number")] * (2 * len(objectives))
    return [
        Cell(verdict.run.name),
        Cell(verdict.against.name),
        badge_cell(verdict.word),
        Cell(_by(verdict)),
        *(difference_cells(objectives, verdict.differences) if verdict.differences else none),
    ]


def progress_section(runs: Sequence[Run]) -> dict[str, Any] | None:
    charts = curves_of_progress(runs)
    labels = [objective.label for objective in objectives_of_all(runs)]
    return {"labels": labels, "charts": charts} if charts else None


def verdicts_by_run_section(runs: Sequence[Run]) -> dict[str, Any]:
    objectives = objectives_of_all(runs)
    rows = [
        Row([_name(place, run), *verdict_row(verdict, objectives)])
        for place, run in enumerate(runs)
        for verdict in all_verdicts(run.history)
    ]
    heads = ["run", *verdict_heads(objectives)]
    return {"table": PageTable(heads, rows, numbers=range(4, len(heads)))}

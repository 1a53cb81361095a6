"""`python -m search.compare`: several searches side by side, as a table and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from analysis.comparison.runs import (
    Run,
    check_runs_comparable,
    protocol_differences,
    read_runs,
    winners_verdicts,
)
from analysis.findings import all_verdicts
from conf.compose import compose, divided, help_text
from search.formats import gmacs, millions
from search.runs.compatibility import abridged
from search.runs.header import objectives_of
from search.runs.scores import point_of
from space.shared.plain import InputError, from_plain

INTRO = """
Runs side by side: what they differ in, their fronts and best so far, their ledgers, and whose winner is
better, where one can say. Scores of different protocols (pictures, training, proxy, rungs, evaluators) do
not compare, and are refused.

  python -m search.compare runs/a runs/b ...
"""
EXAMPLES = (
    "python -m search.compare runs/tpe runs/random",
    "python -m search.compare runs/sweep-* out=sweep.html",
)
HEADS = (
    "search,\nbudget,\nsampler",
    "complete,\nhalted,\nfailed",
    "best\nFID",
    "best\nCLIP",
    "winner",
    "winner against",
)


@dataclass(frozen=True)
class CompareSettings:
    """Which runs, and the file that the page goes to."""

    runs: tuple[str, ...] = ()
    out: str = "compare.html"


def main(words: list[str]) -> int:
    if any(word in ("-h", "--help") for word in words):
        print(help_text("compare", INTRO, EXAMPLES))
        return 0
    named, chosen = divided(words)
    settings = from_plain(CompareSettings, compose("compare", chosen))
    folders = [*settings.runs, *named]
    runs = read_runs([Path(folder).expanduser() for folder in folders])
    check_runs_comparable(runs)
    out = Path(settings.out).expanduser()
    if not out.parent.is_dir():
        raise InputError(f"out: {out.parent} is no folder; name a file in one that is there")
    from analysis.comparison.page import write_comparison
    from analysis.comparison.sections import sentence

    Console().print(comparison_table(runs))
    for verdict in winners_verdicts(runs):
        print(f"{sentence(verdict)}.")
    try:
        print(f"\ncomparison: {write_comparison(runs, out)}")
    except OSError as error:
        raise InputError(f"out: {out} cannot be written: {error.strerror}") from None
    return 0


def comparison_table(runs: Sequence[Run]) -> Table:
    """A row for each run, in order. Where their protocols differ it holds what was done, and no scores."""
    differences = protocol_differences(runs)
    table = Table(
        title="Searches compared", title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False
    )
    for head in HEADS:  # on a narrow terminal only names are broken
        justify: JustifyMethod = "right" if "best" in head else "left"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=head != HEADS[0])
    for run in runs:
        row = _row(run)
        table.add_row(*map(escape, [*row[:2], *(["-"] * 4 if differences else row[2:])]))
    if differences:
        why = "\n".join(["Scores of different protocols do not compare:", *abridged(differences)])
        table.caption, table.caption_justify = escape(why), "left"
    return table


def _row(run: Run) -> list[str]:
    history, winner = run.history, run.winner
    objectives, states = objectives_of(history), Counter(trial.state for trial in history.trials)
    complete = [trial for trial in history.trials if trial.state == "complete"]
    points = [point for trial in complete if (point := point_of(trial, objectives)) is not None]
    said = [f"{v.against}: {v.word}" for v in all_verdicts(history) if winner and v.name == winner.name]
    sampler = history.header.get("sampler", {})
    return [
        f"{run.name}\n{_budget(history.header.get('budget', {}))}\n{sampler.get('name', '-')}",
        ", ".join(str(states[state]) for state in ("complete", "halted", "failed")),
        f"{min(point.fid for point in points):.2f}" if points else "-",
        f"{max(point.clip for point in points):.3f}" if points else "-",
        f"{winner.name}\n{millions(winner.cost.parameters)}\n{gmacs(winner.cost.gmacs)}" if winner else "-",
        "\n".join(said) or "not confirmed",
    ]


def _budget(bounds: dict[str, float | None]) -> str:
    units = {"parameters_millions": "M", "gmacs": "GMACs"}
    stated = [f"{value:g} {units.get(name, name)}" for name, value in bounds.items() if value is not None]
    return ", ".join(stated) or "no budget"

"""Several searches side by side, as a table for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from analysis.comparison.runs import Run, protocol_differences
from analysis.findings import all_verdicts
from search.formats import gmacs, millions
from search.runs.compatibility import abridged
from search.runs.header import objectives_of
from search.runs.scores import point_of
from space.budget import bounds_in_words

HEADS = (
    "search,\nbudget,\nsampler",
    "complete,\nhalted,\nfailed",
    "best\nFID",
    "best\nCLIP",
    "winner",
    "winner against",
)


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


def _budget(bounds: dict[str, Any]) -> str:
    return ", ".join(bounds_in_words(bounds)) or "no budget"

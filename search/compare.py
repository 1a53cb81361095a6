"""Several searches side by side: the table at the end of a multirun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from search.findings import all_verdicts, objectives_of
from search.formats import label, millions
from search.ranking import best_first, point_of
from search.record import History, read_history

HEADS = (
    "search",
    "budget",
    "sampler",
    "complete",
    "halted",
    "failed",
    "best FID",
    "best CLIP",
    "winner",
    "verdicts",
)


def comparison_rows(folders: Sequence[Path]) -> list[list[str]]:
    """The cells of `HEADS` for each run folder, in order.

    Raises:
        InputError: if a folder holds no record.
    """
    return [_row(folder, read_history(folder)) for folder in folders]


def comparison_table(folders: Sequence[Path]) -> Table:
    """For a terminal."""
    table = Table(title="Searches compared", title_justify="left", title_style="bold")
    for head in HEADS:
        table.add_column(head, justify="right" if head in HEADS[3:8] else "left")
    for row in comparison_rows(folders):
        table.add_row(*map(escape, row))
    return table


def _row(folder: Path, history: History) -> list[str]:
    objectives, states = objectives_of(history), Counter(trial.state for trial in history.trials)
    best = best_first(history.trials, objectives)
    points = [point for trial in best if (point := point_of(trial, objectives)) is not None]
    winner = (
        f"{best[0].name}, {millions(best[0].cost.parameters)}, {best[0].cost.gmacs:.1f} GMACs"
        if best
        else "-"
    )
    return [
        str(history.header.get("name") or folder.name),
        _budget(history.header.get("budget", {})),
        str(history.header.get("sampler", {}).get("name", "-")),
        str(states["complete"]),
        str(states["halted"]),
        str(states["failed"]),
        f"{min(point.fid for point in points):.2f}" if points else "-",
        f"{max(point.clip for point in points):.3f}" if points else "-",
        winner,
        "; ".join(f"{v.word} against {label(v.against)}" for v in all_verdicts(history)) or "not confirmed",
    ]


def _budget(bounds: dict[str, float | None]) -> str:
    units = {"parameters_millions": "M", "gmacs": "GMACs"}
    return (
        ", ".join(f"{value:g} {units.get(name, name)}" for name, value in bounds.items() if value is not None)
        or "none"
    )

"""Several searches side by side: the table at the end of a multirun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from search.findings import all_verdicts, objectives_of
from search.formats import gmacs, millions
from search.ranking import best_first, point_of
from search.record import History, read_history

HEADS = (
    "search,\nbudget,\nsampler",
    "complete,\nhalted,\nfailed",
    "best\nFID",
    "best\nCLIP",
    "winner",
    "winner against",
)


def comparison_table(folders: Sequence[Path]) -> Table:
    """A row for each run folder, in order.

    Raises:
        InputError: if a folder holds no record.
    """
    table = Table(
        title="Searches compared", title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False
    )
    for head in HEADS:  # on a narrow terminal only names are broken
        justify: JustifyMethod = "right" if "best" in head else "left"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=head != HEADS[0])
    for folder in folders:
        table.add_row(*map(escape, _row(folder, read_history(folder))))
    return table


def _row(folder: Path, history: History) -> list[str]:
    objectives, states = objectives_of(history), Counter(trial.state for trial in history.trials)
    best = best_first(history.trials, objectives)
    points = [point for trial in best if (point := point_of(trial, objectives)) is not None]
    cost = best[0].cost if best else None
    said = [f"{v.against}: {v.word}" for v in all_verdicts(history) if best and v.name == best[0].name]
    name, sampler = history.header.get("name") or folder.name, history.header.get("sampler", {})
    return [
        f"{name}\n{_budget(history.header.get('budget', {}))}\n{sampler.get('name', '-')}",
        ", ".join(str(states[state]) for state in ("complete", "halted", "failed")),
        f"{min(point.fid for point in points):.2f}" if points else "-",
        f"{max(point.clip for point in points):.3f}" if points else "-",
        f"{best[0].name}\n{millions(cost.parameters)}\n{gmacs(cost.gmacs)}" if cost else "-",
        "\n".join(said) or "not confirmed",
    ]


def _budget(bounds: dict[str, float | None]) -> str:
    units = {"parameters_millions": "M", "gmacs": "GMACs"}
    stated = [f"{value:g} {units.get(name, name)}" for name, value in bounds.items() if value is not None]
    return ", ".join(stated) or "no budget"

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
from space.budget import bounds_in_words

BEFORE_SCORES = ("search,\nbudget,\nsampler", "complete,\nstopped,\nfailed")
AFTER_SCORES = ("winner", "winner against")


def comparison_table(runs: Sequence[Run]) -> Table:
    """A row for each run, in order. Where their protocols differ it holds what was done, and no scores."""
    differences = protocol_differences(runs)
    table = Table(
        title="Searches compared", title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False
    )
    labels = _labels(runs)
    heads = [*BEFORE_SCORES, *(f"best\n{label}" for label in labels), *AFTER_SCORES]
    for head in heads:  # on a narrow terminal only names are broken
        justify: JustifyMethod = "right" if "best" in head else "left"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=head != heads[0])
    for run in runs:
        row = _row(run, labels)
        table.add_row(*map(escape, [*row[:2], *(["-"] * len(row[2:]) if differences else row[2:])]))
    if differences:
        why = "\n".join(["Scores of different protocols do not compare:", *abridged(differences)])
        table.caption, table.caption_justify = escape(why), "left"
    return table


def _labels(runs: Sequence[Run]) -> list[str]:
    """Of the objectives that decided in every one of the runs."""
    first, *others = ([o.label for o in objectives_of(run.history)] for run in runs)
    return [label for label in first if all(label in other for other in others)]


def _best(run: Run, label: str) -> str:
    """The best value of a complete trial."""
    objective = next(each for each in objectives_of(run.history) if each.label == label)
    complete = [trial for trial in run.history.trials if trial.state == "complete"]
    values = [value for trial in complete if (value := trial.score(objective.name)) is not None]
    return objective.value_text(objective.best(values)) if values else "-"


def _row(run: Run, labels: Sequence[str]) -> list[str]:
    history, winner = run.history, run.winner
    states = Counter(trial.state for trial in history.trials)
    said = [f"{v.against}: {v.word}" for v in all_verdicts(history) if winner and v.name == winner.name]
    chosen = history.header.get("sampler", {})
    sampler = chosen.get("use") or chosen.get("name", "-")
    return [
        f"{run.name}\n{_budget(history.header.get('budget', {}))}\n{sampler}",
        ", ".join(str(states[state]) for state in ("complete", "halted", "failed")),
        *(_best(run, label) for label in labels),
        f"{winner.name}\n{millions(winner.cost.parameters)}\n{gmacs(winner.cost.gmacs)}" if winner else "-",
        "\n".join(said) or "not confirmed",
    ]


def _budget(bounds: dict[str, Any]) -> str:
    words = [word.removesuffix(" parameters") for word in bounds_in_words(bounds)]  # the column is narrow
    return ", ".join(words) or "no budget"

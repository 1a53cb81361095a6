"""Second opinions beside our figures: asked for, as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from space.architecture import Architecture
from space.shared.console import command_console
from space.shared.second_opinion import SecondOpinion, disagreements


def count_opinions(a: Architecture) -> list[SecondOpinion]:
    """On the price of an architecture; on a terminal the error stream shows which counter is at work."""
    from space.prices.check import second_opinions  # which waits for torch

    with command_console(stderr=True).status("counting") as status:
        return second_opinions(a, lambda name: status.update(f"{name} counts"))


def as_plain(opinions: Sequence[SecondOpinion]) -> dict[str, Any]:
    """An entry for a command's JSON; empty where none were asked for."""
    return {"second_opinions": [opinion.to_plain() for opinion in opinions]} if opinions else {}


def print_opinions(opinions: Sequence[SecondOpinion]) -> None:
    """Each of our figures, those of others below it with the difference, and who disagrees."""
    if not opinions:
        return
    console = command_console()
    table = Table("", "by", title="second opinions", title_justify="left")
    for name in ("figure", "difference"):
        table.add_column(name, justify="right")
    table.add_column("agrees")
    for what in dict.fromkeys(opinion.what for opinion in opinions):
        others = [opinion for opinion in opinions if opinion.what == what]
        table.add_row(what, "mdsearch", _figure(others[0].ours))
        for other in others:
            agrees = {True: "yes", False: "no", None: "only shown"}[other.agrees]
            agrees += f": {other.note}" if other.note else ""
            table.add_row("", other.by, _figure(other.theirs), _figure(other.difference), escape(agrees))
    console.print(table)
    against = [f"{opinion.by} about {opinion.what}" for opinion in disagreements(opinions)]
    console.print(f"disagree: {'; '.join(against)}" if against else "they agree", markup=False)


def _figure(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"

"""How findings are written: sections of a page, tables, figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.rendering import render_table
from search.formats import counted
from search.statistics.verdicts import Interval

NOT_RECORDED = "Not recorded yet"
MINUS = "\u2212"


@dataclass(frozen=True)
class Chapter:
    """A part of the page; `findings` are its sentences for the page's beginning, `limits` for its end: what
    could not be decided, and what would decide it."""

    title: str
    parts: tuple[str, ...]
    findings: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def text(self) -> str:
        return "\n\n".join([f"## {self.title}", *(part.strip() for part in self.parts)])


def missing(title: str, what: str) -> Chapter:
    """A section that waits for runs: `what` would make it."""
    return Chapter(title, (f"{NOT_RECORDED}: {what}.",))


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    return render_table(rows, rows, "markdown")


def decimal(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", MINUS)


def with_interval(found: Interval | None, digits: int = 2) -> str:
    """.71 (.55 to .83)"""
    if found is None:
        return "-"
    middle, low, high = (decimal(value, digits) for value in (found.middle, found.low, found.high))
    return f"{middle} ({low} to {high})"


def correlation_text(found: Interval | None, networks: int) -> str:
    """.25 (-.42 to .75; 11 networks; undecided): of few networks a correlation is seldom decided."""
    if found is None:
        return f"- ({counted(networks, 'network')})"
    middle, low, high = (decimal(value) for value in (found.middle, found.low, found.high))
    word = "" if found.sign else "; undecided"
    return f"{middle} ({low} to {high}; {counted(networks, 'network')}{word})"


def share_with_interval(found: Interval | None) -> str:
    if found is None:
        return "-"
    return f"{found.middle:.0%} ({found.low:.0%} to {found.high:.0%})"


def p_value(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def hours(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"

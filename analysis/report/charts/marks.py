"""What a mark looks like and says: one colour for one meaning. Text and grid take the page's colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import count
from math import floor, log10
from typing import Any, TypeVar

import plotly.graph_objects as go

from analysis.series import spans_magnitudes
from search.formats import ending, label, size, state_word, summary_lines
from search.runs.header import references_of
from search.runs.record import History, Trial
from search.statistics.noise import Noise
from search.statistics.pareto import Point

Mark = TypeVar("Mark")
Plane = tuple[int, int]  # the places of the objectives at the axes
FIRST_TWO: Plane = (0, 1)

COLOUR_OF = {
    "complete": "#3b82f6",
    "halted": "#d98a1f",
    "failed": "#dc4545",
    "running": "#8b95a5",
    "rejected": "#a3adba",
    "winner": "#0f9d6b",
    "MD": "#8b5cf6",
    "MD-Lite": "#db4f9e",
    "other": "#0e9fb5",
    "prior": "#64748b",
}
# of finalists that did not win, in colours that mean nothing else
FINALISTS = (("#0e9fb5", "square"), ("#a16207", "triangle-up"), ("#4f46e5", "cross"), ("#65a30d", "star"))
REFERENCES = ("diamond", "diamond-tall", "diamond-wide", "diamond-cross")  # of one colour
MOST_MARKS = 1500  # of one kind in a chart; with more, evenly spaced ones are plotted, and the legend says so
MOST_FULL_HOVERS = 300  # with more marks of a kind, what they say leaves the levels out


def marks(
    name: str, x: Sequence[float], y: Sequence[float], text: Sequence[str] | None = None, **fields: Any
) -> go.Scatter:
    """Marks that say their `text`, which is escaped already, when pointed at."""
    said = {} if text is None else {"text": text, "hovertemplate": "%{text}<extra></extra>"}
    return go.Scatter(name=escape(name), x=x, y=y, **{"mode": "markers"} | said | fields)


def scored_marks(
    name: str,
    pairs: Iterable[tuple[Trial, Point]],
    marker: dict[str, Any],
    noise: Noise | None = None,
    deviations: float = 0.0,
    plane: Plane = FIRST_TWO,
) -> go.Scatter:
    """Marks in a plane of two objectives; with `noise`, bars of so many standard deviations of one run."""
    pairs = list(pairs)
    full = len(pairs) <= MOST_FULL_HOVERS
    x, y = ([point.values[axis] for _, point in pairs] for axis in plane)
    text = [hover(trial, point, full=full) for trial, point in pairs]
    trace = marks(name, x, y, text, marker=marker)
    if noise is not None:
        widths = [noise_widths(pairs, noise, axis, deviations) for axis in plane]
        trace.error_x, trace.error_y = (noise_bars(each, marker["color"]) for each in widths)
    return trace


def noise_widths(
    pairs: Sequence[tuple[Trial, Point]], noise: Noise, axis: int, deviations: float
) -> list[float]:
    """So many standard deviations of one run of each trial; 0 where no noise is stated."""
    widths = []
    for trial, point in pairs:
        objective, value = point.objectives[axis], point.values[axis]
        stated = noise.at(trial.last_step).deviation(objective) or 0.0
        widths.append(deviations * stated * value if objective.scale == "log" else deviations * stated)
    return widths


def hover(trial: Trial, point: Point | None = None, *, full: bool = True) -> str:
    """What a mark says of its trial, with the scores that it stands at; escaped, since plotly reads tags."""
    lines = [f"{label(trial.name)} · {trial.architecture.id} · {state_word(trial.state)}"]
    if trial.purpose == "confirm":
        lines[0] = f"{label(trial.name)}, confirmation · {trial.architecture.id}"
    if point is not None:
        lines.append(f"{scores_in_words(point)} at step {trial.last_step}")
    lines += [size(trial.cost), *(summary_lines(trial.architecture) if full else ())]
    if full and trial.state in ("halted", "failed"):
        lines.append(_shortened(ending(trial), 90))
    return "<br>".join(escape(line) for line in lines)


def scores_in_words(point: Point) -> str:
    """`FID 12.34, CLIP 0.456`."""
    each = zip(point.objectives, point.values, strict=True)
    return ", ".join(f"{objective.label} {objective.value_text(value)}" for objective, value in each)


def noise_bars(widths: Sequence[float], colour: str) -> dict[str, Any]:
    faint = "rgba({},{},{},0.4)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
    return {"type": "data", "array": list(widths), "color": faint, "thickness": 1, "width": 0}


def marker(meaning: str, *, width: float = 0, **fields: Any) -> dict[str, Any]:
    colour = COLOUR_OF[meaning]
    return {"color": colour, "line": {"color": colour, "width": width}, **fields}


def winner_ring() -> dict[str, Any]:
    return marker("winner", size=17, symbol="circle-open", width=3)


def reference_colour(name: str) -> str:
    return COLOUR_OF.get(label(name), COLOUR_OF["other"])


def network_marks(history: History, winner: Trial | None) -> dict[str, dict[str, Any]]:
    """A colour and a symbol for each network that was trained again: the same wherever it stands."""
    references = references_of(history)
    found: dict[str, dict[str, Any]] = {}
    others = (_finalist(place) for place in count())
    for name in dict.fromkeys(trial.name for trial in history.confirmations):
        if name in references:
            colour = reference_colour(name)
            alike = sum(mark["color"] == colour for mark in found.values())
            found[name] = {"color": colour, "symbol": REFERENCES[alike % len(REFERENCES)]}
        elif winner is not None and name == winner.name:
            found[name] = {"color": COLOUR_OF["winner"], "symbol": "circle"}
        else:
            colour, symbol = next(others)
            found[name] = {"color": colour, "symbol": symbol}
    return found


def _finalist(place: int) -> tuple[str, str]:
    again, at = divmod(place, len(FINALISTS))
    return FINALISTS[at][0], FINALISTS[(at + again) % len(FINALISTS)][1]


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2 and 5 of each decade, written out in full; an even one where two
    of them need not lie in the range."""
    if not spans_magnitudes(values):
        return {}
    decades = range(floor(log10(min(values))), floor(log10(max(values))) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def titled(text: str, **fields: Any) -> dict[str, Any]:
    """An axis with its title."""
    return {"title": {"text": escape(text)}, **fields}


def bound(line: dict[str, Any], *, x: float | None = None, y: float | None = None) -> dict[str, Any]:
    """A line across the whole chart, at an x or a y."""
    if x is not None:
        return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def evenly_spaced(name: str, marks: Sequence[Mark], most: int = MOST_MARKS) -> tuple[str, list[Mark]]:
    """At most so many of the marks, evenly spaced, under a name that says what is left out."""
    if len(marks) <= most:
        return name, list(marks)
    chosen = [marks[place * len(marks) // most] for place in range(most)]
    return f"{name} ({most:,} of {len(marks):,} plotted)", chosen


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

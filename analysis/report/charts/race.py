"""How the intervals between the winner and the others closed, seed after seed."""

from __future__ import annotations

from html import escape
from math import log10
from typing import Any

import plotly.graph_objects as go

from analysis.report.charts.marks import COLOUR_OF, bound, network_marks, titled
from search.formats import label
from search.objectives import Objective
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.record import History, Trial
from search.statistics.verdicts import Interval, after_each_seed

AfterSeeds = dict[int, Interval]  # shared seeds -> a difference
MOST_RATIO = 8.0  # of the chart's axis: intervals of one seed reach far beyond what matters


def closing_intervals(history: History, winner: Trial | None) -> dict[str, go.Figure]:
    """The winner against each of the others after every seed, in each objective that has noise."""
    noise = noise_of(history)
    if noise is None or winner is None:
        return {}
    by_other = after_each_seed(history, objectives_of(history), noise, references_of(history), winner.name)
    if not by_other:
        return {}
    charts = {}
    for place, objective in enumerate(objectives_of(history)):
        if objective.exact:
            continue
        found = {
            other: {v.seeds: v.differences[place] for v in verdicts if v.differences[place].known}
            for other, verdicts in by_other.items()
        }
        if any(found.values()):
            charts[f"race-{objective.label.lower()}"] = _closing(history, winner, objective, found)
    return charts


def _closing(
    history: History, winner: Trial, objective: Objective, found: dict[str, AfterSeeds]
) -> go.Figure:
    traces, own = [], network_marks(history, winner)
    for place, (other, intervals) in enumerate(found.items()):
        shift = 0.08 * (place - (len(found) - 1) / 2)
        if objective.scale == "log":
            intervals = {
                seeds: Interval(*(1 + end for end in (i.middle, i.low, i.high)))
                for seeds, i in intervals.items()
            }
        traces.append(_intervals(label(other), intervals, shift, own[other]))
    if objective.scale == "linear":
        return _chart(traces, f"{objective.label} of {winner.name}, above the other's", 0.0, {})
    axis = _ratio_axis([interval for intervals in found.values() for interval in intervals.values()])
    return _chart(traces, f"{objective.label} of {winner.name}, times the other's", 1.0, axis)


def _ratio_axis(shares: list[Interval]) -> dict[str, Any]:
    ends = [abs(log10(1 + end)) for share in shares for end in (share.low, share.high)]
    reach = min(1.05 * max(ends), log10(MOST_RATIO))
    ticks = [0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0]
    return {
        "type": "log",
        "range": [-reach, reach],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _intervals(name: str, after: AfterSeeds, shift: float, mark: dict[str, Any]) -> go.Scatter:
    found = list(after.values())
    return go.Scatter(
        mode="lines+markers",
        name=escape(f"against {name}"),
        x=[seeds + shift for seeds in after],
        y=[interval.middle for interval in found],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [interval.high - interval.middle for interval in found],
            "arrayminus": [interval.middle - interval.low for interval in found],
            "color": mark["color"],
            "thickness": 1.5,
        },
        text=[f"between {interval.low:.3g} and {interval.high:.3g}" for interval in found],
        hovertemplate="%{y:.3~g}, %{text}<extra></extra>",
        line={"color": mark["color"], "width": 1.3},
        marker={**mark, "size": 7},
    )


def _chart(traces: list[go.Scatter], title: str, equal: float, axis: dict[str, Any]) -> go.Figure:
    line = {"color": COLOUR_OF["running"], "width": 1.5, "dash": "dash"}
    layout = go.Layout(
        xaxis=titled("shared seeds", dtick=1), yaxis=titled(title, **axis), shapes=[bound(line, y=equal)]
    )
    return go.Figure(traces, layout)

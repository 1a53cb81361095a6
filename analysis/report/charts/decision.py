"""What quality costs: a score of every network by its GMACs or parameters, and the front of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.findings import Confirmed, confirmed
from analysis.report.charts.marks import (
    COLOUR_OF,
    MOST_FULL_HOVERS,
    bound,
    evenly_spaced,
    hover,
    log_axis,
    marker,
    marks,
    network_marks,
    noise_bars,
    noise_widths,
    titled,
    winner_ring,
)
from analysis.report.charts.scores import CROWD, MOST_BARS, deviations_of_mean, in_state
from analysis.wording import wording_of
from search.formats import counted, label
from search.objectives import Objective
from search.runs.header import noise_of, objectives_of
from search.runs.record import History, Trial
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from space.prices.macs import Cost

Scored = Sequence[tuple[Trial, Point]]
PRICE_AXES: dict[str, tuple[str, Callable[[Cost], float]]] = {  # bound of a budget -> axis and value
    "gmacs": ("GMACs an evaluation", lambda cost: cost.gmacs),
    "parameters_millions": ("parameters (M)", lambda cost: cost.parameters / 1e6),
}


def decision(history: History, winner: Trial | None, place: int, priced: str) -> go.Figure | None:
    """The objective at `place` by a price: complete trials, their front, confirmed and reference networks."""
    objectives, noise = objectives_of(history), noise_of(history)
    complete = in_state(history.trials, "complete", objectives)
    if not complete or noise is None:
        return None
    objective, own = objectives[place], network_marks(history, winner)
    plane = _Plane(place, PRICE_AXES[priced][1], noise)
    bars = noise.deviations / 2**0.5 if len(complete) <= MOST_BARS else None
    traces = [
        *plane.front(complete, objective),
        plane.marks(*evenly_spaced("search", complete), marker("complete", size=9), bars),
    ]
    traces += _waiting(plane, history)
    if winner is not None:
        ring = in_state([winner], "complete", objectives)
        traces.append(plane.marks("winner", ring, winner_ring(), None))
    for group in _of_length(confirmed(history), winner):
        mark = {**own[group.name], "size": 13}
        mean, name = (
            [(group.runs[0], group.mean)],
            f"{label(group.name)}, {counted(len(group.points), 'seed')}",
        )
        traces.append(plane.marks(name, mean, mark, deviations_of_mean(noise, group)))
    values = [value for trace in traces if trace.visible is None for value in trace.y]
    scale = log_axis(values) if objective.scale == "log" and min(values) > 0 else {}
    limit, words = history.header.get("budget", {}).get(priced), wording_of(history.header)
    axis = words.macs if priced == "gmacs" else PRICE_AXES[priced][0]
    line = {"color": COLOUR_OF["failed"], "width": 1.5, "dash": "dash"}
    layout = go.Layout(
        xaxis=titled(f"{axis}, {words.scale}"),
        yaxis=titled(objective.title, **scale),
        shapes=[bound(line, x=limit)] if limit is not None else [],
    )
    return go.Figure(traces, layout)


def _waiting(plane: _Plane, history: History) -> list[go.Scatter]:
    """Stopped trials and those of earlier runs, which the legend switches on where they are many."""
    objectives = objectives_of(history)
    found = []
    if stopped := in_state(history.trials, "halted", objectives):
        mark = marker("halted", size=8, symbol="x-thin-open", width=2)
        found.append(plane.marks(*evenly_spaced("stopped", stopped), mark, None))
        found[-1].visible = "legendonly"
    if known := in_state(history.prior, "complete", objectives):
        mark = marker("prior", size=8, symbol="circle-open", width=1.5)
        found.append(plane.marks(*evenly_spaced("earlier runs", known), mark, None))
        if len(known) > CROWD:
            found[-1].visible = "legendonly"
    return found


def _of_length(groups: Sequence[Confirmed], winner: Trial | None) -> list[Confirmed]:
    """Scores of other lengths do not compare."""
    return [group for group in groups if winner is None or group.steps == winner.last_step]


class _Plane:
    """A price along, an objective up."""

    def __init__(self, place: int, price_of: Callable[[Cost], float], noise: Noise) -> None:
        self.place, self.price_of, self.noise = place, price_of, noise

    def marks(self, name: str, pairs: Scored, mark: dict[str, Any], deviations: float | None) -> go.Scatter:
        x, y = self._at(pairs)
        full = len(pairs) <= MOST_FULL_HOVERS
        trace = marks(name, x, y, [hover(*pair, full=full) for pair in pairs], marker=mark)
        if deviations is not None:
            widths = noise_widths(pairs, self.noise, self.place, deviations)
            trace.error_y = noise_bars(widths, mark["color"])
        return trace

    def front(self, pairs: Scored, objective: Objective) -> list[go.Scatter]:
        """Those than which no other is cheaper and as good, or as cheap and better; one alone is no line."""
        ordered = sorted(zip(*self._at(pairs), strict=True), key=lambda at: (at[0], objective.loss(at[1])))
        dearest = ordered[-1][0]
        kept: list[tuple[float, float]] = []
        for x, y in ordered:
            if not kept or objective.loss(y) < objective.loss(kept[-1][1]):
                kept.append((x, y))
        line = {"shape": "hv", "color": COLOUR_OF["complete"], "width": 1.5, "dash": "dot"}
        kept.append((dearest, kept[-1][1]))  # what costs more buys nothing
        steps = {"x": [x for x, _ in kept], "y": [y for _, y in kept]}
        lines = [go.Scatter(mode="lines", name="front", line=line, hoverinfo="skip", **steps)]
        return lines if len(pairs) > 1 else []

    def _at(self, pairs: Scored) -> tuple[list[float], list[float]]:
        return [self.price_of(trial.cost) for trial, _ in pairs], [p.values[self.place] for _, p in pairs]

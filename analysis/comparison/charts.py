"""The charts of several runs side by side, each run with its look."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from analysis.comparison.runs import Moment, Run, objectives_of_all, progress, widest_noise
from analysis.findings import confirmed, pareto_front
from analysis.report.charts.marks import (
    FIRST_TWO,
    Plane,
    evenly_spaced,
    log_axis,
    scored_marks,
    titled,
)
from analysis.report.charts.scores import front_line, in_state, mean_mark, score_axes
from analysis.series import look
from search.formats import counted
from search.objectives import Objective, Objectives
from search.statistics.noise import Noise

RUNS_IN_FULL = 4  # more of them have one entry each in the legend, without winner and confirmation
HEIGHT, LEGEND_ROW, RUNS_A_ROW = 450, 20, 4  # pixels


def fronts_of_runs(runs: Sequence[Run], plane: Plane = FIRST_TWO) -> go.Figure | None:
    """Every run's complete trials, front, winner and confirmed winner, by two scores; None without any."""
    noise, objectives = widest_noise(runs), objectives_of_all(runs)
    traces = [
        trace for place, run in enumerate(runs) for trace in _front(place, run, objectives, noise, plane)
    ]
    if not traces:
        return None
    for trace in traces if len(runs) > RUNS_IN_FULL else ():
        trace.showlegend = trace.showlegend is not False and trace.name == escape(trace.legendgroup)
    layout = score_axes(objectives, plane)
    for axis, at in (("xaxis", plane[0]), ("yaxis", plane[1])):
        values = [value for trace in traces for value in trace[axis[0]]]
        layout[axis].update(_log_for(objectives[at], values))
    return _figure(traces, layout, len(runs))


def _log_for(objective: Objective, values: Sequence[float]) -> dict[str, Any]:
    return log_axis(values) if objective.scale == "log" else {}


def _figure(traces: Sequence[go.Scatter], layout: go.Layout, runs: int) -> go.Figure:
    """A chart whose plot is as high with many runs in its legend as with few."""
    legend = {"yref": "container", "y": 0, "yanchor": "bottom"}
    return go.Figure(traces, layout.update(height=HEIGHT + LEGEND_ROW * (runs // RUNS_A_ROW), legend=legend))


def _front(
    place: int, run: Run, objectives: Objectives, noise: Noise | None, plane: Plane
) -> list[go.Scatter]:
    history, winner, own_look = run.history, run.winner, look(place)
    colour = own_look.colour
    complete = in_state(history.trials, "complete", objectives)
    if not complete:
        return []
    mark = {"color": colour, "size": 7, "symbol": own_look.symbol, "opacity": 0.65}
    traces = [scored_marks(*evenly_spaced(run.name, complete), mark, plane=plane)]
    if winner is not None and (own := in_state([winner], "complete", objectives)):
        ring = {"color": colour, "size": 17, "symbol": "circle-open", "line": {"width": 3}}
        traces.append(scored_marks(f"{run.name}: {winner.name}", own, ring, plane=plane))
        for group in confirmed(history, objectives):
            if noise is not None and group.name == winner.name:
                by = f"{counted(len(group.points), 'seed')}, {group.steps} steps"
                name = f"{run.name}: {winner.name}, confirmed ({by})"
                traces.append(mean_mark(name, group, noise, {"color": colour, "symbol": "diamond"}, plane))
    for trace in traces:
        trace.text = [f"{escape(run.name)}: {text}" for text in trace.text]
    lines = front_line([point for _, point in pareto_front(history, objectives)], colour)
    hidden = [line.update(showlegend=False) for line in lines]
    return [trace.update(legendgroup=run.name) for trace in (*hidden, *traces)]


def curves_of_progress(runs: Sequence[Run]) -> dict[str, go.Figure]:
    """Best so far by what it took, a line per run; empty for runs without a complete trial."""
    objectives = objectives_of_all(runs)
    moments = [(run, progress(run.history, objectives)) for run in runs]
    if not any(found for _, found in moments):
        return {}
    spent = {"steps": "training steps", "hours": "worker time (h)"}
    kind, labels = "area" if len(objectives) == 2 else "volume", [each.label for each in objectives]
    area = f"{kind} dominated, {' x '.join(labels)}"
    titles = {"area": area} | {label.lower(): f"best {label} so far" for label in labels}
    charts = {}
    for y, x in (("area", "steps"), ("area", "hours"), *((label.lower(), "steps") for label in labels)):
        along = {place: _along(found, x) for place, (_, found) in enumerate(moments)}
        heights = {place: _heights(found, list(titles).index(y)) for place, (_, found) in enumerate(moments)}
        traces = [
            go.Scatter(
                mode="lines",
                name=escape(run.name),
                x=along[place],
                y=heights[place],
                line={"shape": "hv", "width": 2.2} | look(place).plotly_line,
                hovertemplate=escape(run.name) + ": %{y:.4~g} after %{x:,.4~g}<extra></extra>",
            )
            for place, (run, found) in enumerate(moments)
        ]
        lengths = [own[-1] for own in along.values() if own]
        by_label = {each.label.lower(): each for each in objectives}
        values = [height for own in heights.values() for height in own]
        layout = go.Layout(
            xaxis=titled(spent[x], **(log_axis(lengths) or {"rangemode": "tozero"})),
            yaxis=titled(titles[y], **(_log_for(by_label[y], values) if y in by_label else {})),
        )
        charts[f"progress-{y}-{x}"] = _figure(traces, layout, len(runs))
    return charts


def _along(found: Sequence[Moment], x: str) -> list[float]:
    return [moment.steps if x == "steps" else moment.seconds / 3600 for moment in found]


def _heights(found: Sequence[Moment], place: int) -> list[float]:
    """The area for place 0, then the best in each objective."""
    return [(moment.area, *moment.best)[place] for moment in found]

"""The charts of several runs side by side, a colour a run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from analysis.comparison.runs import Moment, Run, objectives_of_all, progress, widest_noise
from analysis.findings import confirmed, pareto_front
from analysis.report.charts.marks import FIRST_TWO, Plane, evenly_spaced, scored_marks, titled
from analysis.report.charts.scores import front_line, in_state, mean_mark, score_axes
from search.formats import counted
from search.objectives import Objectives
from search.statistics.noise import Noise

# One a run; far apart in hue, and from light to dark for those who don't tell hues apart.
RUN_COLOURS = ("#3b82f6", "#d9541f", "#0f9d6b", "#8b5cf6", "#c99a06", "#db4f9e", "#0e9fb5", "#6b7280")
SYMBOLS = ("circle", "square", "triangle-down", "triangle-up", "cross", "star", "hexagon", "x")


def run_colour(place: int) -> str:
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def fronts_of_runs(runs: Sequence[Run], plane: Plane = FIRST_TWO) -> go.Figure | None:
    """Every run's complete trials, front, winner and confirmed winner, by two scores; None without any."""
    noise, objectives = widest_noise(runs), objectives_of_all(runs)
    traces = [
        trace for place, run in enumerate(runs) for trace in _front(place, run, objectives, noise, plane)
    ]
    return go.Figure(traces, score_axes(objectives, plane)) if traces else None


def _front(
    place: int, run: Run, objectives: Objectives, noise: Noise | None, plane: Plane
) -> list[go.Scatter]:
    history, winner, colour = run.history, run.winner, run_colour(place)
    complete = in_state(history.trials, "complete", objectives)
    if not complete:
        return []
    mark = {"color": colour, "size": 7, "symbol": SYMBOLS[place % len(SYMBOLS)], "opacity": 0.65}
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
        traces = [
            go.Scatter(
                mode="lines",
                name=escape(run.name),
                x=[moment.steps if x == "steps" else moment.seconds / 3600 for moment in found],
                y=_heights(found, list(titles).index(y)),
                line={"shape": "hv", "color": run_colour(place), "width": 2.2},
                hovertemplate=escape(run.name) + ": %{y:.4~g} after %{x:,.4~g}<extra></extra>",
            )
            for place, (run, found) in enumerate(moments)
        ]
        layout = go.Layout(xaxis=titled(spent[x], rangemode="tozero"), yaxis=titled(titles[y]))
        charts[f"progress-{y}-{x}"] = go.Figure(traces, layout)
    return charts


def _heights(found: Sequence[Moment], place: int) -> list[float]:
    """The area for place 0, then the best in each objective."""
    return [(moment.area, *moment.best)[place] for moment in found]

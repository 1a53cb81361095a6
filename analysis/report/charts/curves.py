"""Learning curves: scores by training step, a line per trial."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, log10
from typing import Any

import plotly.graph_objects as go

from analysis.findings import Confirmed, confirmed
from analysis.report.charts.marks import (
    COLOUR_OF,
    evenly_spaced,
    hover,
    marker,
    marks,
    reference_colour,
    titled,
)
from search.formats import label, millions, state_word
from search.objectives import Objective
from search.runs.header import references_of
from search.runs.record import History, Trial

MOST_CURVES = 300  # of one kind


def learning_curves(history: History, objective: Objective, winner: Trial | None) -> go.Figure | None:
    """A score by training step: a line per trial from the untrained start, stops and failures marked."""
    if not any(trial.rungs for trial in history.trials):
        return None
    score_name = objective.name
    start = history.start_scores.get(score_name)
    traces = []
    for state in ("halted", "failed", "running", "complete"):
        trials = [t for t in history.trials if t.state == state and t.rungs and t is not winner]
        if trials:
            line = {"color": COLOUR_OF[state], "width": 1.3}
            traces.append(
                _lines(*evenly_spaced(state_word(state), trials, MOST_CURVES), score_name, start, line)
            )
    if winner is not None:
        line = {"color": COLOUR_OF["winner"], "width": 3}
        traces.append(_lines(f"winner ({winner.name})", [winner], score_name, start, line))
    traces += _ends(history, score_name)
    references = references_of(history)
    traces += [_reference_point(g, score_name) for g in confirmed(history) if g.name in references]
    values = [value for trace in traces for value in trace.y if value is not None]
    scale = _log_axis(values) if objective.scale == "log" and min(values) > 0 else {}
    layout = go.Layout(
        xaxis=titled("training steps", rangemode="tozero"), yaxis=titled(objective.title, **scale)
    )
    return go.Figure(traces, layout)


def _ends(history: History, score_name: str) -> list[go.Scatter]:
    """Where trials were stopped, and where they failed."""
    traces = []
    for state, symbol in (("halted", "square"), ("failed", "x")):
        ended = [t for t in history.trials if t.state == state and t.score(score_name) is not None]
        if ended:
            name, ended = evenly_spaced(f"{state_word(state)} here", ended, MOST_CURVES)
            x, y = [trial.last_step for trial in ended], [trial.score(score_name) or 0.0 for trial in ended]
            mark = marker(state, size=8, symbol=symbol)
            traces.append(marks(name, x, y, [hover(trial) for trial in ended], marker=mark))
    return traces


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2 and 5 of each decade, written out in full; an even one where two
    of them need not lie in the range."""
    if max(values) < 5 * min(values):
        return {}
    decades = range(floor(log10(min(values))), floor(log10(max(values))) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _lines(
    name: str, trials: Sequence[Trial], score_name: str, start: float | None, line: dict[str, Any]
) -> go.Scatter:
    """Many lines as one trace, with gaps between them: thousands stay quick to plot."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        known = [(rung.step, rung.scores.get(score_name)) for rung in trial.rungs]
        values = ([(0, start)] if start is not None else []) + known
        x += [step for step, _ in values] + [None]
        y += [value for _, value in values] + [None]
        network = escape(f"{trial.name} · {trial.architecture.id} · {millions(trial.cost.parameters)}")
        text += [network] * (len(values) + 1)
    return go.Scatter(
        mode="lines+markers",
        name=escape(name),
        x=x,
        y=y,
        text=text,
        hovertemplate="%{text}<br>step %{x}: %{y:.4~g}<extra></extra>",
        line=line,
        marker={"size": 4},
        opacity=0.9 if len(trials) < 100 else 0.35,
    )


def _reference_point(group: Confirmed, score_name: str) -> go.Scatter:
    values = [value for trial in group.runs if (value := trial.score(score_name)) is not None]
    return marks(
        f"{label(group.name)}, mean of {len(values)}",
        [group.steps] if values else [],
        [sum(values) / len(values)] if values else [],
        hovertemplate="%{y:.4~g}<extra></extra>",
        marker={"color": reference_colour(group.name), "size": 11, "symbol": "diamond"},
    )

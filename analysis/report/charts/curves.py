"""Learning curves: scores by training step, a line per trial."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from analysis.findings import Confirmed, confirmed
from analysis.report.charts.marks import (
    COLOUR_OF,
    MOST_FULL_HOVERS,
    evenly_spaced,
    hover,
    log_axis,
    marker,
    marks,
    network_marks,
    titled,
)
from search.formats import counted, label, millions, state_word, summary_lines
from search.objectives import Objective
from search.runs.record import History, Trial

MOST_CURVES = 300  # of one kind
_AT_A_STEP = "%{text}<br>step %{x}: %{y:.4~g}<extra></extra>"


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
    own = network_marks(history, winner)
    traces += [_of_network(group, score_name, start, own[group.name]) for group in confirmed(history)]
    values = [value for trace in traces for value in trace.y if value is not None]
    scale = log_axis(values) if objective.scale == "log" and min(values) > 0 else {}
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
        said = _choices(trial, trial.name, full=len(trials) <= MOST_FULL_HOVERS)
        text += [said] * (len(values) + 1)
    return go.Scatter(
        mode="lines+markers",
        name=escape(name),
        x=x,
        y=y,
        text=text,
        hovertemplate=_AT_A_STEP,
        line=line,
        marker={"size": 4},
        opacity=0.9 if len(trials) < 100 else 0.35,
    )


def _of_network(group: Confirmed, score_name: str, start: float | None, mark: dict[str, Any]) -> go.Scatter:
    """The mean over a network's confirmation runs at each rung, from the untrained start."""
    values: dict[int, list[float]] = {0: [start]} if start is not None else {}
    for rung in (rung for trial in group.runs for rung in trial.rungs if score_name in rung.scores):
        values.setdefault(rung.step, []).append(rung.scores[score_name])
    steps = [step for step in sorted(values) if step == 0 or len(values[step]) == len(group.runs)]
    text = [_choices(group.runs[0], label(group.name))] * len(steps)
    return marks(
        f"{label(group.name)}, mean of {counted(len(group.runs), 'seed')}",
        steps,
        [fmean(values[step]) for step in steps],
        text,
        mode="lines+markers",
        hovertemplate=_AT_A_STEP,
        line={"color": mark["color"], "width": 2, "dash": "dash"},
        marker={**mark, "size": 8},
    )


def _choices(trial: Trial, name: str, *, full: bool = True) -> str:
    """What a curve says of its network."""
    first = f"{name} · {trial.architecture.id} · {millions(trial.cost.parameters)}"
    return "<br>".join(map(escape, [first, *(summary_lines(trial.architecture) if full else ())]))

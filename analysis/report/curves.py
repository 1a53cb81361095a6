"""Learning curves: scores by training step, a line a trial."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, log10
from typing import Any

from analysis.findings import Confirmed, confirmed
from analysis.report.figures import COLOURS, Figure, evenly_spaced, hover, marker, reference_colour
from search.formats import label, millions
from search.runs.header import objectives_of, references_of
from search.runs.record import History, Trial

MOST_CURVES = 300  # of one kind


def curve(history: History, score_name: str, title: str, winner: Trial | None) -> Figure | None:
    """A score by training step: a line a trial from the untrained start, stops and failures marked."""
    if not any(trial.rungs for trial in history.trials):
        return None
    start = history.start_scores.get(score_name)
    traces = []
    for state in ("halted", "failed", "running", "complete"):
        trials = [t for t in history.trials if t.state == state and t.rungs and t is not winner]
        if trials:
            line = {"color": COLOURS[state], "width": 1.3}
            traces.append(_curves(*evenly_spaced(state, trials, MOST_CURVES), score_name, start, line))
    if winner is not None:
        line = {"color": COLOURS["winner"], "width": 3}
        traces.append(_curves(f"winner ({winner.name})", [winner], score_name, start, line))
    for state, symbol in (("halted", "square"), ("failed", "x")):
        stops = [t for t in history.trials if t.state == state and t.score(score_name) is not None]
        if stops:
            name, stops = evenly_spaced(f"{state} here", stops, MOST_CURVES)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [trial.last_step for trial in stops],
                    "y": [trial.score(score_name) for trial in stops],
                    "text": [hover(trial) for trial in stops],
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": marker(state, size=8, symbol=symbol),
                }
            )
    references = references_of(history)
    traces += [_reference_point(g, score_name) for g in confirmed(history) if g.name in references]
    values = [value for trace in traces for value in trace["y"] if value is not None]
    logarithmic = any(o.name == score_name and o.scale == "log" for o in objectives_of(history))
    scale = _log_axis(values) if logarithmic and min(values) > 0 else {}
    layout = {
        "xaxis": {"title": {"text": "training steps"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": escape(title)}, **scale},
    }
    return {"data": traces, "layout": layout}


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2 and 5 of each decade, written out in full; an even one where two
    of them need not lie in the range."""
    if max(values) < 5 * min(values):
        return {}
    decades = range(floor(log10(min(values))), floor(log10(max(values))) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _curves(
    name: str, trials: Sequence[Trial], score_name: str, start: float | None, line: dict[str, Any]
) -> dict[str, Any]:
    """Many lines as one trace, with gaps between them: thousands stay quick to draw."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        known = [(rung.step, rung.scores.get(score_name)) for rung in trial.rungs]
        values = ([(0, start)] if start is not None else []) + known
        x += [step for step, _ in values] + [None]
        y += [value for _, value in values] + [None]
        said = escape(f"{trial.name} · {trial.architecture.id} · {millions(trial.cost.parameters)}")
        text += [said] * (len(values) + 1)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(name),
        "x": x,
        "y": y,
        "text": text,
        "hovertemplate": "%{text}<br>step %{x}: %{y:.4~g}<extra></extra>",
        "line": line,
        "marker": {"size": 4},
        "opacity": 0.9 if len(trials) < 100 else 0.35,
    }


def _reference_point(group: Confirmed, score_name: str) -> dict[str, Any]:
    values = [value for trial in group.runs if (value := trial.score(score_name)) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(f"{label(group.name)}, mean of {len(values)}"),
        "x": [group.steps] if values else [],
        "y": [sum(values) / len(values)] if values else [],
        "hovertemplate": "%{y:.4~g}<extra></extra>",
        "marker": {"color": reference_colour(group.name), "size": 11, "symbol": "diamond"},
    }

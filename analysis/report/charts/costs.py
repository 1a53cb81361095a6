"""What was proposed, by what it costs, and the budget."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from analysis.report.charts.marks import (
    COLOUR_OF,
    MOST_FULL_HOVERS,
    bound,
    evenly_spaced,
    hover,
    marker,
    marks,
    reference_colour,
    titled,
    winner_ring,
)
from analysis.wording import wording_of
from search.formats import label, size, state_word
from search.runs.record import History, Trial
from space.candidates import Candidate
from space.prices.candidates import candidate_price

MOST_REFUSALS_PLOTTED = 1000


def costs(history: History, winner: Trial | None, references: dict[str, Candidate]) -> go.Figure | None:
    """Parameters and MACs of everything that was proposed, and the budget."""
    if not history.trials and not history.rejections:
        return None
    traces = _refused(history)
    if history.prior:
        hollow = marker("prior", size=8, symbol="circle-open", width=1.5)
        traces.append(_trials(*evenly_spaced("of earlier runs", history.prior), hollow))
    for state in ("complete", "halted", "failed", "running"):
        trials = [trial for trial in history.trials if trial.state == state]
        if trials:
            traces.append(_trials(*evenly_spaced(state_word(state), trials), marker(state, size=9)))
    if winner is not None:
        traces.append(_trials(f"winner ({winner.name})", [winner], winner_ring()))
    traces += [_reference(name, architecture) for name, architecture in references.items()]
    layout = go.Layout(
        xaxis=titled("parameters (M)"),
        yaxis=titled(wording_of(history.header).macs_of),
        shapes=_budget_box(history.header.get("budget", {})),
    )
    return go.Figure(traces, layout)


def _refused(history: History) -> list[go.Scatter]:
    refused = [r for r in history.rejections if r.kind == "budget"][:MOST_REFUSALS_PLOTTED]
    if not refused:
        return []
    x, y = [r.parameters / 1e6 for r in refused], [r.gmacs for r in refused]
    text = [escape(f"{r.architecture_id}: {r.reason}") for r in refused]
    mark = marker("rejected", size=6, symbol="x-thin-open", width=1.2)
    return [marks("over budget, never trained", x, y, text, marker=mark)]


def _trials(name: str, trials: Sequence[Trial], marker: dict[str, Any]) -> go.Scatter:
    x, y = [trial.cost.parameters / 1e6 for trial in trials], [trial.cost.gmacs for trial in trials]
    text = [hover(trial, full=len(trials) <= MOST_FULL_HOVERS) for trial in trials]
    return marks(name, x, y, text, marker=marker)


def _reference(name: str, architecture: Candidate) -> go.Scatter:
    cost = candidate_price(architecture)
    mark = {"color": reference_colour(name), "size": 12, "symbol": "diamond"}
    text = [escape(f"{label(name)}: {size(cost)}")]
    return marks(label(name), [cost.parameters / 1e6], [cost.gmacs], text, marker=mark)


def _budget_box(budget: dict[str, Any]) -> list[dict[str, Any]]:
    """A dashed line for each bound, across the whole chart."""
    line = {"color": COLOUR_OF["failed"], "width": 1.5, "dash": "dash"}
    parameters, gmacs = budget.get("parameters_millions"), budget.get("gmacs")
    shapes = [bound(line, x=parameters)] if parameters is not None else []
    return shapes + ([bound(line, y=gmacs)] if gmacs is not None else [])

"""Where the trials stand in FID and CLIP: the search's, and those trained again to confirm them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from analysis.findings import Confirmed, confirmed, pareto_front, reruns
from analysis.report.charts.marks import (
    COLOUR_OF,
    evenly_spaced,
    marker,
    noise_bars,
    reference_colour,
    scored_marks,
    titled,
    winner_ring,
)
from search.formats import label
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.statistics.noise import Noise
from search.statistics.pareto import Point

MOST_BARS = 40  # with more complete trials, only the front carries noise bars
CROWD = 20  # with more trials of earlier runs, they wait in the legend


def pareto(history: History, winner: Trial | None) -> go.Figure | None:
    """FID x CLIP of the complete trials, their front, and the confirmed and reference networks."""
    noise, front = noise_of(history), pareto_front(history)
    if not front or noise is None:
        return None
    traces = [front_line([point for _, point in front], COLOUR_OF["complete"])]
    traces += _complete(history, front, noise)
    if winner is not None:
        own = in_state([winner], "complete", history)
        traces.append(scored_marks(f"winner ({winner.name})", own, winner_ring()))
    if stopped := in_state(history.trials, "halted", history):
        mark = marker("halted", size=8, symbol="x-thin-open", width=2)
        traces.append(scored_marks(*evenly_spaced("stopped, at its last step", stopped), mark))
        traces[-1].visible = "legendonly"
    if known := in_state(history.prior, "complete", history):
        mark = marker("prior", size=8, symbol="circle-open", width=1.5)
        traces.append(scored_marks(*evenly_spaced("of earlier runs", known), mark))
        if len(known) > CROWD:  # they would stretch the axes until the search's own trials are one dot
            traces[-1].visible = "legendonly"
    full_length = winner.last_step if winner is not None else 0
    traces += [_mean(group, noise, history) for group in confirmed(history) if group.steps == full_length]
    if again := [(trial, point) for trial, point, _ in reruns(history)]:
        traces.append(
            scored_marks("stopped, rerun to the end", again, marker("halted", size=10, symbol="cross"))
        )
    return go.Figure(traces, score_axes(history))


def _complete(history: History, front: Sequence[tuple[Trial, Point]], noise: Noise) -> list[go.Scatter]:
    """The complete trials with their noise, or only the front's where they are many."""
    complete, one_run = in_state(history.trials, "complete", history), noise.deviations / 2**0.5
    mark = marker("complete", size=9)
    if len(complete) <= MOST_BARS:
        return [scored_marks("complete", complete, mark, noise, one_run)]
    on_front = {trial.key for trial, _ in front}
    bare = [pair for pair in complete if pair[0].key not in on_front]
    barred = [scored_marks("on the front", front, mark, noise, one_run)]
    if not bare:
        return barred
    return [scored_marks(*evenly_spaced("complete", bare), marker("complete", size=7, opacity=0.55)), *barred]


def confirmation(history: History) -> go.Figure | None:
    """The confirmation runs, a dot a seed, and their means with the noise of a mean."""
    noise, groups = noise_of(history), confirmed(history)
    if not groups or noise is None:
        return None
    full_length = max(group.steps for group in groups)
    traces = []
    for group in groups:
        if group.steps == full_length:
            dots = {"color": _group_colour(group, history), "size": 7, "opacity": 0.5}
            pairs = zip(group.runs, group.points, strict=True)
            traces.append(scored_marks(label(group.name), pairs, dots).update(showlegend=False))
            traces.append(_mean(group, noise, history))
    return go.Figure(traces, score_axes(history))


def _mean(group: Confirmed, noise: Noise, history: History) -> go.Scatter:
    seeds = len(group.points)
    name = f"{label(group.name)}, confirmed ({seeds} seed{'s' if seeds > 1 else ''}, {group.steps} steps)"
    return mean_mark(name, group, noise, _group_colour(group, history))


def _group_colour(group: Confirmed, history: History) -> str:
    return reference_colour(group.name) if group.name in references_of(history) else COLOUR_OF["winner"]


# ---------------------------------------------------------------------- also for several runs


def in_state(trials: Iterable[Trial], state: str, history: History) -> list[tuple[Trial, Point]]:
    """Those of the trials that are in a state and have both scores, with them."""
    objectives = objectives_of(history)
    return [
        (trial, point)
        for trial in trials
        if trial.state == state and (point := point_of(trial, objectives)) is not None
    ]


def front_line(points: Sequence[Point], colour: str) -> go.Scatter:
    return go.Scatter(
        mode="lines",
        name="Pareto front",
        x=[point.fid for point in points],
        y=[point.clip for point in points],
        line={"shape": "hv", "color": colour, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )


def mean_mark(name: str, group: Confirmed, noise: Noise, colour: str) -> go.Scatter:
    """The mean of confirmation runs, with the noise of such a mean."""
    at, mean, seeds = noise.at(group.steps), group.mean, len(group.points)
    half = noise.deviations / (2 * seeds) ** 0.5
    trace = scored_marks(name, [(group.runs[0], mean)], {"color": colour, "size": 13, "symbol": "diamond"})
    return trace.update(
        error_x=noise_bars([half * at.fid_relative * mean.fid], colour),
        error_y=noise_bars([half * at.clip], colour),
    )


def score_axes(history: History) -> go.Layout:
    objectives = objectives_of(history)
    return go.Layout(
        xaxis=titled(f"FID, lower is better ({objectives[0].name})"),
        yaxis=titled(f"CLIP, higher is better ({objectives[1].name})"),
    )

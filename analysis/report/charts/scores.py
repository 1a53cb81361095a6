"""Where the trials stand in their scores: the search's, and those trained again to confirm them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import plotly.graph_objects as go

from analysis.findings import Confirmed, confirmed, pareto_front, reruns
from analysis.report.charts.marks import (
    COLOUR_OF,
    FIRST_TWO,
    Plane,
    evenly_spaced,
    marker,
    network_marks,
    scored_marks,
    titled,
    winner_ring,
)
from search.formats import counted, label
from search.objectives import Objective, Objectives
from search.runs.header import noise_of, objectives_of
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.statistics.noise import Noise
from search.statistics.pareto import Point

MOST_BARS = 40  # with more complete trials, only the front carries noise bars
CROWD = 20  # with more trials of earlier runs, they wait in the legend


def best_corner(objectives: Objectives) -> str:
    """Where the best are in the plane of the first two: the top left of FID and CLIP."""
    if len(objectives) < 2:
        return ""
    across, up = objectives[:2]
    return f"{'bottom' if up.lower_is_better else 'top'} {'left' if across.lower_is_better else 'right'}"


def planes(objectives: Objectives) -> list[Plane]:
    """Every two objectives: FID and CLIP, unless there are more."""
    return list(combinations(range(len(objectives)), 2))


def pareto(history: History, winner: Trial | None, plane: Plane = FIRST_TWO) -> go.Figure | None:
    """Two scores of the complete trials, their front, and the confirmed and reference networks."""
    noise, front = noise_of(history), pareto_front(history)
    if not front or noise is None:
        return None
    traces = front_line([point for _, point in front], COLOUR_OF["complete"])
    traces += _complete(history, front, noise, plane)
    if winner is not None:
        own = in_state([winner], "complete", objectives_of(history))
        traces.append(scored_marks(f"winner ({winner.name})", own, winner_ring(), plane=plane))
    if stopped := in_state(history.trials, "halted", objectives_of(history)):
        mark = marker("halted", size=8, symbol="x-thin-open", width=2)
        traces.append(scored_marks(*evenly_spaced("stopped, at its last step", stopped), mark, plane=plane))
        traces[-1].visible = "legendonly"
    if known := in_state(history.prior, "complete", objectives_of(history)):
        mark = marker("prior", size=8, symbol="circle-open", width=1.5)
        traces.append(scored_marks(*evenly_spaced("of earlier runs", known), mark, plane=plane))
        if len(known) > CROWD:  # they would stretch the axes until the search's own trials are one dot
            traces[-1].visible = "legendonly"
    full_length = winner.last_step if winner is not None else 0
    groups = [group for group in confirmed(history) if group.steps == full_length]
    own_marks = network_marks(history, winner)
    traces += [_mean(group, noise, own_marks[group.name], plane) for group in groups]
    if again := [(trial, point) for trial, point, _ in reruns(history)]:
        mark = marker("halted", size=10, symbol="cross")
        traces.append(scored_marks("stopped, rerun to the end", again, mark, plane=plane))
    return go.Figure(traces, score_axes(objectives_of(history), plane))


def _complete(
    history: History, front: Sequence[tuple[Trial, Point]], noise: Noise, plane: Plane
) -> list[go.Scatter]:
    """The complete trials with their noise, or only the front's where they are many."""
    complete = in_state(history.trials, "complete", objectives_of(history))
    one_run = noise.deviations / 2**0.5
    mark = marker("complete", size=9)
    if len(complete) <= MOST_BARS:
        return [scored_marks("complete", complete, mark, noise, one_run, plane)]
    on_front = {trial.key for trial, _ in front}
    bare = [pair for pair in complete if pair[0].key not in on_front]
    barred = [scored_marks("on the front", front, mark, noise, one_run, plane)]
    if not bare:
        return barred
    faint = marker("complete", size=7, opacity=0.55)
    return [scored_marks(*evenly_spaced("complete", bare), faint, plane=plane), *barred]


def confirmation(history: History, winner: Trial | None) -> go.Figure | None:
    """The confirmation runs, a dot a seed, and their means with the noise of a mean."""
    noise, groups = noise_of(history), confirmed(history)
    if not groups or noise is None:
        return None
    full_length = max(group.steps for group in groups)
    traces, own = [], network_marks(history, winner)
    for group in groups:
        if group.steps == full_length:
            dots = {**own[group.name], "size": 7, "opacity": 0.5}
            pairs = zip(group.runs, group.points, strict=True)
            traces.append(scored_marks(label(group.name), pairs, dots).update(showlegend=False))
            traces.append(_mean(group, noise, own[group.name], FIRST_TWO))
    return go.Figure(traces, score_axes(objectives_of(history)))


def _mean(group: Confirmed, noise: Noise, mark: dict[str, Any], plane: Plane) -> go.Scatter:
    return mean_mark(name_of_mean(group), group, noise, mark, plane)


def name_of_mean(group: Confirmed) -> str:
    return f"{label(group.name)}, confirmed ({counted(len(group.points), 'seed')}, {group.steps} steps)"


# ---------------------------------------------------------------------- also for several runs


def in_state(trials: Iterable[Trial], state: str, objectives: Objectives) -> list[tuple[Trial, Point]]:
    """Those of the trials that are in a state and have all scores, with them."""
    return [
        (trial, point)
        for trial in trials
        if trial.state == state and (point := point_of(trial, objectives)) is not None
    ]


def front_line(points: Sequence[Point], colour: str) -> list[go.Scatter]:
    """The front of two objectives as steps; of more it is no line, and none is plotted."""
    if len(points[0].values) != 2:
        return []
    x, y = zip(*(point.values for point in points), strict=True)
    line = {"shape": "hv", "color": colour, "width": 1.5, "dash": "dot"}
    return [go.Scatter(mode="lines", name="Pareto front", x=x, y=y, line=line, hoverinfo="skip")]


def mean_mark(
    name: str, group: Confirmed, noise: Noise, mark: dict[str, Any], plane: Plane = FIRST_TWO
) -> go.Scatter:
    """The mean of confirmation runs, with the noise of such a mean."""
    mean = [(group.runs[0], group.mean)]
    return scored_marks(name, mean, {**mark, "size": 13}, noise, deviations_of_mean(noise, group), plane)


def deviations_of_mean(noise: Noise, group: Confirmed) -> float:
    """Bars of so many standard deviations of one run: where two of them touch, two means differ by noise."""
    return noise.deviations / (2 * len(group.points)) ** 0.5


def score_axes(objectives: Objectives, plane: Plane = FIRST_TWO) -> go.Layout:
    x, y = (objectives[axis] for axis in plane)
    return go.Layout(xaxis=titled(_axis_title(x)), yaxis=titled(_axis_title(y)))


def _axis_title(objective: Objective) -> str:
    named = f" ({objective.name})" if objective.name != objective.label else ""
    return f"{objective.title}{named}"

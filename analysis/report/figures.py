"""The report's charts, as the plain dictionaries that plotly.js draws. Text and grid take the page's colours.

One colour for one meaning throughout; scores are named in full on the axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, TypeVar

from analysis.findings import Confirmed, Importances, confirmed, pareto_front, reruns
from search.formats import ending, label, size, summary
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from space.architecture import Architecture
from space.prices.macs import price

Figure = dict[str, Any]
Mark = TypeVar("Mark")

COLOURS = {
    "complete": "#3b82f6",
    "halted": "#d98a1f",
    "failed": "#dc4545",
    "running": "#8b95a5",
    "rejected": "#a3adba",
    "winner": "#0f9d6b",
    "MD": "#8b5cf6",
    "MD-Lite": "#db4f9e",
    "other": "#0e9fb5",
    "prior": "#64748b",
}
MOST_BARS = 40  # with more complete trials, only the front carries noise bars
MOST_REFUSALS_DRAWN = 1000
MOST_MARKS = 1500  # of one kind in a chart; with more, evenly spaced ones are drawn, and the legend says so
CROWD = 20  # with more trials of earlier runs, they wait in the legend
MOST_FULL_HOVERS = 300  # with more marks of a kind, what they say leaves the levels out
MOST_CHOICES_DRAWN = 14


def hover(
    trial: Trial,
    fid: float | None = None,
    clip: float | None = None,
    step: int | None = None,
    *,
    full: bool = True,
) -> str:
    """What a mark says of its trial; escaped, since plotly reads tags."""
    lines = [f"{label(trial.name)} · {trial.architecture.id} · {trial.state}"]
    if trial.purpose == "confirm":
        lines[0] = f"{label(trial.name)}, confirmation · {trial.architecture.id}"
    if fid is not None and clip is not None:
        lines.append(f"FID {fid:.2f}, CLIP {clip:.3f}" + (f" at step {step}" if step is not None else ""))
    lines += [size(trial.cost), *(summary(trial.architecture) if full else ())]
    if full and trial.state in ("halted", "failed"):
        lines.append(_shortened(ending(trial), 90))
    return "<br>".join(escape(line) for line in lines)


def reference_colour(name: str) -> str:
    return COLOURS.get(label(name), COLOURS["other"])


# ---------------------------------------------------------------------- scores


def pareto(history: History, winner: Trial | None) -> Figure | None:
    """FID x CLIP of the complete trials, their front, and the confirmed and reference networks."""
    objectives, noise = objectives_of(history), noise_of(history)
    front = pareto_front(history)
    if not front or noise is None:
        return None
    on_front = {trial.key for trial, _ in front}
    complete = [
        (trial, point)
        for trial in history.trials
        if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
    ]
    barred = complete if len(complete) <= MOST_BARS else front
    bare = [] if barred is complete else [pair for pair in complete if pair[0].key not in on_front]
    traces = [front_line([point for _, point in front], COLOURS["complete"])]
    if bare:
        name, bare = evenly_spaced("complete", bare)
        traces.append(scatter(name, bare, marker("complete", size=7, opacity=0.55)))
    one_run = noise.deviations / 2**0.5
    named = "complete" if barred is complete else "on the front"
    traces.append(scatter(named, barred, marker("complete", size=9), noise, one_run))
    if winner is not None:
        point = point_of(winner, objectives)
        assert point is not None
        ring = marker("winner", size=17, symbol="circle-open", width=3)
        traces.append(scatter(f"winner ({winner.name})", [(winner, point)], ring))
    halted = [
        (trial, point)
        for trial in history.trials
        if trial.state == "halted" and (point := point_of(trial, objectives)) is not None
    ]
    if halted:
        name, halted = evenly_spaced("halted, at its stop", halted)
        traces.append(
            scatter(name, halted, marker("halted", size=8, symbol="x-thin-open", width=2))
            | {"visible": "legendonly"}
        )
    known = [
        (trial, point)
        for trial in history.prior
        if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
    ]
    if known:
        crowd = len(known) > CROWD
        name, known = evenly_spaced("of earlier runs", known)
        earlier = scatter(name, known, marker("prior", size=8, symbol="circle-open", width=1.5))
        # a whole table of networks would stretch the axes until the search's own trials are one dot
        traces.append(earlier | ({"visible": "legendonly"} if crowd else {}))
    full_length = winner.last_step if winner is not None else 0
    traces += [_mean(group, noise, history) for group in confirmed(history) if group.steps == full_length]
    if again := [(trial, point) for trial, point, _ in reruns(history)]:
        traces.append(scatter("halted, rerun to the end", again, marker("halted", size=10, symbol="cross")))
    return {"data": traces, "layout": score_axes(history)}


def confirmation(history: History) -> Figure | None:
    """The confirmation runs, a dot a seed, and their means with the noise of a mean."""
    noise, groups = noise_of(history), confirmed(history)
    if not groups or noise is None:
        return None
    groups = [group for group in groups if group.steps == max(group.steps for group in groups)]
    traces = []
    for group in groups:
        colour = _group_colour(group, history)
        dots = {"color": colour, "size": 7, "opacity": 0.5}
        traces.append(
            scatter(label(group.name), list(zip(group.runs, group.points, strict=True)), dots)
            | {"showlegend": False}
        )
        traces.append(_mean(group, noise, history))
    return {"data": traces, "layout": score_axes(history)}


def _mean(group: Confirmed, noise: Noise, history: History) -> dict[str, Any]:
    seeds = len(group.points)
    name = f"{label(group.name)}, confirmed ({seeds} seed{'s' if seeds > 1 else ''}, {group.steps} steps)"
    return mean_mark(name, group, noise, _group_colour(group, history))


def mean_mark(name: str, group: Confirmed, noise: Noise, colour: str) -> dict[str, Any]:
    """The mean of confirmation runs, with the noise of such a mean."""
    at, mean, seeds = noise.at(group.steps), group.mean, len(group.points)
    half = noise.deviations / (2 * seeds) ** 0.5
    trace = scatter(name, [(group.runs[0], mean)], {"color": colour, "size": 13, "symbol": "diamond"})
    trace["error_x"] = _bars([half * at.fid_relative * mean.fid], colour)
    trace["error_y"] = _bars([half * at.clip], colour)
    return trace


def _group_colour(group: Confirmed, history: History) -> str:
    return reference_colour(group.name) if group.name in references_of(history) else COLOURS["winner"]


def front_line(points: Sequence[Point], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [point.fid for point in points],
        "y": [point.clip for point in points],
        "line": {"shape": "hv", "color": colour, "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }


def score_axes(history: History) -> dict[str, Any]:
    objectives = objectives_of(history)
    return {
        "xaxis": {"title": {"text": escape(f"FID, lower is better ({objectives[0].name})")}},
        "yaxis": {"title": {"text": escape(f"CLIP, higher is better ({objectives[1].name})")}},
    }


# ---------------------------------------------------------------------- costs


def costs(history: History, winner: Trial | None, references: dict[str, Architecture]) -> Figure | None:
    """Parameters and MACs at the paper's scale of everything that was proposed, and the budget."""
    if not history.trials and not history.rejections:
        return None
    refused = [r for r in history.rejections if r.kind == "budget"][:MOST_REFUSALS_DRAWN]
    traces = []
    if refused:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "over budget, never trained",
                "x": [r.parameters / 1e6 for r in refused],
                "y": [r.gmacs for r in refused],
                "text": [escape(f"{r.architecture_id}: {r.reason}") for r in refused],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": marker("rejected", size=6, symbol="x-thin-open", width=1.2),
            }
        )
    if history.prior:
        hollow = marker("prior", size=8, symbol="circle-open", width=1.5)
        traces.append(_cost_trace(*evenly_spaced("of earlier runs", history.prior), hollow))
    for state in ("complete", "halted", "failed", "running"):
        trials = [trial for trial in history.trials if trial.state == state]
        if trials:
            traces.append(_cost_trace(*evenly_spaced(state, trials), marker(state, size=9)))
    if winner is not None:
        ring = marker("winner", size=17, symbol="circle-open", width=3)
        traces.append(_cost_trace(f"winner ({winner.name})", [winner], ring))
    for name, architecture in references.items():
        cost = price(architecture)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": escape(label(name)),
                "x": [cost.parameters / 1e6],
                "y": [cost.gmacs],
                "text": [escape(f"{label(name)}: {size(cost)}")],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": reference_colour(name), "size": 12, "symbol": "diamond"},
            }
        )
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "parameters (M)"}},
        "yaxis": {"title": {"text": "GMACs an evaluation (64 x 64 latent)"}},
        "shapes": _budget_box(history.header.get("budget", {})),
    }
    return {"data": traces, "layout": layout}


def _cost_trace(name: str, trials: Sequence[Trial], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [trial.cost.parameters / 1e6 for trial in trials],
        "y": [trial.cost.gmacs for trial in trials],
        "text": [hover(trial, full=len(trials) <= MOST_FULL_HOVERS) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }


def _budget_box(budget: dict[str, Any]) -> list[dict[str, Any]]:
    """A dashed line for each bound, across the whole chart."""
    line = {"color": COLOURS["failed"], "width": 1.5, "dash": "dash"}
    shapes = []
    if (most := budget.get("parameters_millions")) is not None:
        shapes.append({"type": "line", "x0": most, "x1": most, "yref": "paper", "y0": 0, "y1": 1})
    if (most := budget.get("gmacs")) is not None:
        shapes.append({"type": "line", "y0": most, "y1": most, "xref": "paper", "x0": 0, "x1": 1})
    return [shape | {"line": line} for shape in shapes]


# ---------------------------------------------------------------------- importances


def importance_bars(found: Importances) -> Figure:
    """The largest shares first, FID beside CLIP, each with the line that chance reaches."""
    names = list(found.fid)[:MOST_CHOICES_DRAWN][::-1]
    traces, shapes = [], []
    for title, shares, chance, colour in (
        ("CLIP", found.clip, found.clip_chance, COLOURS["other"]),
        ("FID", found.fid, found.fid_chance, COLOURS["complete"]),
    ):
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": title,
                "y": [escape(name.replace("_", " ").replace(".", " · ")) for name in names],
                "x": [shares[name] for name in names],
                "marker": {"color": colour},
                "hovertemplate": "%{y}: %{x:.0%} of the variance of " + title + "<extra></extra>",
            }
        )
        line = {"color": colour, "width": 1.5, "dash": "dot"}
        shapes.append(
            {"type": "line", "x0": chance, "x1": chance, "yref": "paper", "y0": 0, "y1": 1, "line": line}
        )
    layout = {
        "barmode": "group",
        "height": 110 + 30 * len(names),
        "xaxis": {"title": {"text": "share of the variance explained"}, "tickformat": ".0%"},
        "yaxis": {"automargin": True},
        "legend": {"traceorder": "reversed"},
        "shapes": shapes,
    }
    return {"data": traces, "layout": layout}


# ---------------------------------------------------------------------- pieces


def scatter(
    name: str,
    pairs: Iterable[tuple[Trial, Point]],
    marker: dict[str, Any],
    noise: Noise | None = None,
    deviations: float = 0.0,
) -> dict[str, Any]:
    """Marks in FID x CLIP; with `noise`, bars of so many standard deviations of one run."""
    pairs = list(pairs)
    full = len(pairs) <= MOST_FULL_HOVERS
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [point.fid for _, point in pairs],
        "y": [point.clip for _, point in pairs],
        "text": [hover(trial, point.fid, point.clip, trial.last_step, full=full) for trial, point in pairs],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }
    if noise is not None:
        at = [noise.at(trial.last_step) for trial, _ in pairs]
        widths = [deviations * rung.fid_relative * p.fid for rung, (_, p) in zip(at, pairs, strict=True)]
        trace["error_x"] = _bars(widths, marker["color"])
        trace["error_y"] = _bars([deviations * rung.clip for rung in at], marker["color"])
    return trace


def _bars(widths: Sequence[float], colour: str) -> dict[str, Any]:
    faint = "rgba({},{},{},0.4)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
    return {"type": "data", "array": list(widths), "color": faint, "thickness": 1, "width": 0}


def marker(meaning: str, *, width: float = 0, **fields: Any) -> dict[str, Any]:
    colour = COLOURS[meaning]
    return {"color": colour, "line": {"color": colour, "width": width}, **fields}


def evenly_spaced(name: str, marks: Sequence[Mark], most: int = MOST_MARKS) -> tuple[str, list[Mark]]:
    """At most so many of the marks, evenly spaced, under a name that says what is left out."""
    if len(marks) <= most:
        return name, list(marks)
    chosen = [marks[place * len(marks) // most] for place in range(most)]
    return f"{name} ({most:,} of {len(marks):,} drawn)", chosen


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

"""The two plots of a curve: FID against CLIP score over guidance, and both over sampling steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plotting import GRID_COLOUR, plot_file
from analysis.sampling_curves.points import CurvePoint, Curves
from evaluators.protocols.score import Score
from space.explore.style import INK, OTHER_COLOUR, OWN_COLOUR, QUIET

LINE_COLOURS = (OWN_COLOUR, OTHER_COLOUR, "#2a8c82", "#7a4fa3", "#b58900", INK)
BARS: dict[str, Any] = {"capsize": 2, "elinewidth": 0.8, "lw": 1.6, "markersize": 5}


def plot_guidance(curves: Curves, path: Path) -> bool:
    """FID against CLIP score, a line for each model and number of steps, the scales beside their points.

    After the figure beside Table 2 of the MobileDiffusion paper. Returns whether there was a line to plot.
    """
    lines = _lines(curves.points, "guidance")
    if not lines:
        return False
    with plot_file(path, (7.2, 5)) as figure:
        axes = figure.add_subplot()
        for colour, (label, line) in zip(_colours(lines), lines.items(), strict=True):
            clips, fids = _scores(line, curves.clip), _scores(line, curves.fid)
            axes.errorbar(
                _values(clips), _values(fids), yerr=_bars(fids), xerr=_bars(clips), fmt="o-", color=colour,
                label=label, **BARS,
            )  # fmt: skip
            for point, clip, fid in zip(line, clips, fids, strict=True):
                at = (clip.value, fid.value)
                text = f"{point.guidance:g}"
                axes.annotate(text, at, (6, 5), textcoords="offset points", color=colour, fontsize=9)
        axes.set_xlabel(f"{curves.clip} (higher is better)")
        axes.set_ylabel(f"{curves.fid} (lower is better)")
        _dressed(figure, axes, "FID against CLIP score over guidance scales", curves)
    return True


def plot_steps(curves: Curves, path: Path) -> bool:
    """FID and CLIP score over the number of sampling steps (logarithmic), a line for each model and scale.

    Returns whether there was a line to plot.
    """
    lines = _lines(curves.points, "steps")
    if not lines:
        return False
    with plot_file(path, (10, 4.6)) as figure:
        left, right = figure.subplots(1, 2)
        for axes, name, better in ((left, curves.fid, "lower"), (right, curves.clip, "higher")):
            for colour, (label, line) in zip(_colours(lines), lines.items(), strict=True):
                scores, steps = _scores(line, name), [point.steps for point in line]
                axes.errorbar(
                    steps, _values(scores), yerr=_bars(scores), fmt="o-", color=colour, label=label, **BARS
                )
            _step_axis(axes, sorted({point.steps for line in lines.values() for point in line}))
            axes.set_ylabel(f"{name} ({better} is better)")
        _dressed(figure, left, "Scores over sampling steps", curves)
        right.grid(color=GRID_COLOUR, lw=0.8)
    return True


def _lines(points: Iterable[CurvePoint], along: str) -> dict[str, list[CurvePoint]]:
    """Points of one model that differ in `along` alone, rising, two or more of them, under a name."""
    other, unit = ("steps", "{:g} steps") if along == "guidance" else ("guidance", "guidance {:g}")
    lines: dict[tuple[str, float], list[CurvePoint]] = {}
    for point in points:
        lines.setdefault((point.model, getattr(point, other)), []).append(point)
    long = {key: line for key, line in lines.items() if len(line) > 1}
    return {
        f"{model}, {unit.format(value)}": sorted(line, key=lambda point: float(getattr(point, along)))
        for (model, value), line in long.items()
    }


def _colours(lines: Iterable[object]) -> list[str]:
    return [LINE_COLOURS[index % len(LINE_COLOURS)] for index, _ in enumerate(lines)]


def _scores(line: Sequence[CurvePoint], name: str) -> list[Score]:
    return [point.scores[name] for point in line]


def _values(scores: Sequence[Score]) -> list[float]:
    return [score.value for score in scores]


def _bars(scores: Sequence[Score]) -> list[list[float]] | None:
    """Lengths below and above each value; None where a score has no interval."""
    intervals = [score.interval for score in scores if score.interval is not None]
    if len(intervals) < len(scores):
        return None
    pairs = list(zip(scores, intervals, strict=True))
    below = [max(0.0, score.value - interval.low) for score, interval in pairs]
    return [below, [max(0.0, interval.high - score.value) for score, interval in pairs]]


def _step_axis(axes: Axes, steps: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(steps)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("sampling steps")


def _dressed(figure: Figure, axes: Axes, title: str, curves: Curves) -> None:
    axes.grid(color=GRID_COLOUR, lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    figure.supxlabel("\n".join(curves.description()), x=0.01, ha="left", fontsize=7.5, color=QUIET)

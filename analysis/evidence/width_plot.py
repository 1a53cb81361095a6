"""Width against depth as a plot: the networks of one budget, the fitted parabola, and where its peak lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from analysis.evidence.width import NearBudget, WidthAgainstDepth, WidthFit
from analysis.plotting import GRID_COLOUR, plot_file
from search.statistics.pareto import Point
from space.explore.style import OTHER_COLOUR, OWN_COLOUR


def plot_width(path: Path, found: WidthAgainstDepth) -> None:
    """FID and CLIP at the last step against the innermost width, with its layers; means over seeds."""
    last = [each for each in found.fits if each.step == found.fits[-1].step]
    with plot_file(path, (10, 4)) as figure:
        panels = figure.subplots(1, len(last), squeeze=False)[0]
        for axes, fit, deviation in zip(panels, last, found.deviations, strict=True):
            _networks(axes, fit, found, deviation)
            _parabola(axes, fit, found.networks)
            _widths_axis(axes, found.networks)
            axes.set_ylabel(f"{fit.metric.name} at step {fit.step:,}")
        panels[0].legend(frameon=False, fontsize=8)


def _networks(axes: Axes, fit: WidthFit, found: WidthAgainstDepth, deviation: float) -> None:
    """With 95 % of what noise leaves of a mean."""
    for is_md, colour, name in ((False, OTHER_COLOUR, "networks of one budget"), (True, OWN_COLOUR, "MD")):
        shown = [each for each in found.networks if (each.architecture.id == found.md) == is_md]
        for each in shown:
            middle, half = _even(each.mean, fit), 1.96 * deviation / each.seeds**0.5
            ends = [_shown(middle + sign * half, fit) for sign in (-1, 1)]
            axes.plot([each.width] * 2, ends, color=colour, lw=1, alpha=0.4, zorder=2)
        scores = [_shown(_even(each.mean, fit), fit) for each in shown]
        axes.scatter([each.width for each in shown], scores, s=36, color=colour, label=name, zorder=3)


def _parabola(axes: Axes, fit: WidthFit, networks: Sequence[NearBudget]) -> None:
    widths = [each.width for each in networks]
    across = np.geomspace(min(widths), max(widths), 100)
    values = [_shown(fit.metric.sign * fit.at(float(width)), fit) for width in across]
    axes.plot(across, values, color=OTHER_COLOUR, lw=1.2)
    if fit.optimum is not None and fit.located:
        axes.axvspan(fit.optimum.low, fit.optimum.high, color=GRID_COLOUR, zorder=0, label="optimum, 95 %")


def _widths_axis(axes: Axes, networks: Sequence[NearBudget]) -> None:
    layers: dict[int, set[int]] = {}
    for each in networks:
        layers.setdefault(each.width, set()).add(each.layers)
    axes.set_xscale("log")
    ticks = sorted(layers)
    names = ["\n".join([str(width), "/".join(map(str, sorted(layers[width])))]) for width in ticks]
    axes.set_xticks(ticks, names, fontsize=8)
    axes.set_xticks([], minor=True)
    axes.set_xlim(min(ticks) * 0.97, max(ticks) * 1.03)
    axes.set_xlabel("innermost width; its transformer layers")
    axes.grid(color=GRID_COLOUR, lw=0.8)
    axes.set_axisbelow(True)


def _even(mean: Point, fit: WidthFit) -> float:
    names = [objective.name for objective in mean.objectives]
    return mean.even[names.index(fit.metric.score)]


def _shown(even: float, fit: WidthFit) -> float:
    return float(np.exp(even)) if fit.metric.logarithmic else even

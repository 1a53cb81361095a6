"""How soon each strategy completes a truly good network, as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from analysis.efficiency.figures import StrategyFigures
from analysis.plotting import GRID_COLOUR, legend_outside, log_ticks, plot_file
from analysis.series import look, spans_magnitudes


def plot_efficiency(path: Path, found: Mapping[str, StrategyFigures], caption: str) -> Path:
    """The share of seeds that have one of the truly best, by steps in full lengths; a line a strategy.

    Raises:
        InputError: if it cannot be written.
    """
    with plot_file(path, (9, 4.5 + 0.12 * len(found))) as figure:
        axes = figure.subplots()
        for place, (name, one) in enumerate(found.items()):
            steps = np.sort(one.steps)
            shares = 100 * np.arange(1, len(steps) + 1) / len(steps)
            axes.step([steps[0], *steps], [0, *shares], where="post", label=name, lw=1.8, **look(place).line)
        every = [steps for one in found.values() for steps in one.steps]
        if spans_magnitudes(every):
            axes.set_xscale("log")
            log_ticks(axes.xaxis)
        axes.set_ylim(0, 100)
        axes.set_xlabel("training steps, in full lengths")
        axes.set_ylabel("% of seeds with one of the truly best")
        axes.grid(color=GRID_COLOUR, lw=0.8)
        axes.set_axisbelow(True)
        legend_outside(figure, axes)
        figure.suptitle(caption, x=0.01, ha="left", fontsize=10)
    return path

"""Plans as a plot: how long, and where the workers' time goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.plotting import log_ticks, plot_file
from analysis.simulation.planning import Plan
from space.explore.style import OTHER_COLOUR, OWN_COLOUR

TIME_PARTS = (
    ("training", "training and evaluation", OTHER_COLOUR),
    ("wasted", "lost with workers", OWN_COLOUR),
    ("waiting", "starting, waiting for the driver", "#b8860b"),
    ("idle", "idle or away", "#c9d1d9"),
)


def plot_plans(path: Path, plans: Sequence[Plan]) -> Path:
    """Wall time with and without stopping; shares of the workers' time. Writes a .png, .svg or .pdf.

    Raises:
        InputError: if it cannot be written.
    """
    names = [f"{one.workers:,}" for one in plans]
    places = range(len(plans))
    with plot_file(path, (10, 4)) as figure:
        time, shares = figure.subplots(1, 2)
        for offset, hours, label, colour in (
            (-0.19, [one.wall_hours_without_stopping for one in plans], "without stopping", "#c9d1d9"),
            (0.19, [one.wall_hours for one in plans], "with stopping", OTHER_COLOUR),
        ):
            bars = time.bar([place + offset for place in places], hours, 0.36, label=label, color=colour)
            time.bar_label(bars, [f"{value:,.0f} h" for value in hours], fontsize=8, padding=2)
        time.set_yscale("log")
        log_ticks(time.yaxis)
        time.set_ylabel("wall time (hours)")
        bottom = [0.0] * len(plans)
        for name, label, colour in TIME_PARTS:
            values = [100 * getattr(one, name) for one in plans]
            shares.bar(places, values, 0.6, bottom=bottom, label=label, color=colour)
            bottom = [low + value for low, value in zip(bottom, values, strict=True)]
        shares.set_ylabel("% of the workers' time")
        for axes in (time, shares):
            axes.set_xticks(places, names)
            axes.set_xlabel("workers")
        time.legend(frameon=False)
        shares.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return path

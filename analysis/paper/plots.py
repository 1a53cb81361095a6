"""Two plots for the docs: networks by parameters and MACs, and a waterfall of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plotting import GRID_COLOUR, SAVED, SPENT, plot_file
from space.explore.style import INK, OTHER_COLOUR, OWN_COLOUR, QUIET

BUDGET_PARAMETERS_MILLIONS, BUDGET_GMACS = 400, 200  # section 3.4


@dataclass(frozen=True)
class PlottedNetwork:
    """A network: parameters in millions and GMACs, as counted and as the paper prints them (None: not)."""

    name: str
    parameters_millions: float
    gmacs: float
    printed_parameters_millions: float | None = None
    printed_gmacs: float | None = None


@dataclass(frozen=True)
class Total:
    """A line of a waterfall: its name and what stands after it, parameters in millions and GMACs."""

    name: str
    parameters_millions: float
    gmacs: float


# ---------------------------------------------------------------------- networks

# Where a label stands from its point, in points of the page, so that none hides another.
_BESIDE = {
    "SnapFusion": (-12, 14, "right"),
    "DiT-XL/2": (-12, 4, "right"),
    "SDXL": (-14, 4, "right"),
    "SD-1.4/1.5": (14, 6, "left"),
    "MobileDiffusion": (14, 2, "left"),
    "MobileDiffusion-Lite": (0, -19, "center"),
}


def plot_networks(points: Sequence[PlottedNetwork], path: Path) -> None:
    """Parameters (logarithmic) against GMACs: what was counted as dots, what the paper prints as rings."""
    with plot_file(path, (8.4, 5.4)) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_xlim(200, 3700)
        axes.set_ylim(0, 900)
        axes.add_patch(
            matplotlib.patches.Rectangle(
                (200, 0), BUDGET_PARAMETERS_MILLIONS - 200, BUDGET_GMACS, color="#f7e6dc", zorder=0, lw=0
            )
        )
        axes.text(207, 12, "budget: 400 M, 200 GMACs", color=QUIET, fontsize=8)
        for point in points:
            _point(axes, point)
        for label, face in (("counted here", INK), ("printed in the paper", "white")):
            axes.scatter([], [], s=52, color=face, edgecolors=INK, linewidths=1.3, label=label)
        axes.legend(loc="upper left", frameon=False, handletextpad=0.3)
        axes.xaxis.set_major_locator(FixedLocator([200, 400, 800, 1600, 3200]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(color=GRID_COLOUR, lw=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("parameters (millions, logarithmic)")
        axes.set_ylabel("GMACs, one evaluation at 64x64 latents")
        axes.set_title("The networks of Table 1", loc="left", fontsize=13, fontweight="bold", pad=12)


def _point(axes: Axes, point: PlottedNetwork) -> None:
    colour = OWN_COLOUR if point.name.startswith("MobileDiffusion") else OTHER_COLOUR
    x, y = point.parameters_millions, point.gmacs
    if point.printed_parameters_millions is not None and point.printed_gmacs is not None:
        printed = (point.printed_parameters_millions, point.printed_gmacs)
        axes.plot([x, printed[0]], [y, printed[1]], color=colour, lw=1, alpha=0.7, zorder=2)
        axes.scatter(*printed, s=80, facecolors="white", edgecolors=colour, linewidths=1.3, zorder=3)
    axes.scatter(x, y, s=40, color=colour, zorder=4)
    dx, dy, side = _BESIDE.get(point.name, (12, -4, "left"))
    place: dict[str, Any] = {"textcoords": "offset points", "ha": side, "zorder": 5}
    axes.annotate(point.name, (x, y), (dx, dy), color=colour, fontweight="bold", **place)
    figures = f"{x:,.0f} M, {y:,.0f} GMACs"
    axes.annotate(figures, (x, y), (dx, dy - 12), color=QUIET, fontsize=8.5, **place)


# ---------------------------------------------------------------------- waterfall


def plot_waterfall(steps: Sequence[Total], path: Path, title: str) -> None:
    """From the first step's total to the last one's, a bar for what each step between saves or adds."""
    with plot_file(path, (11, 0.42 * len(steps) + 2)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _waterfall(left, [step.parameters_millions for step in steps], "parameters (millions)")
        _waterfall(right, [step.gmacs for step in steps], "GMACs, one evaluation at 64x64 latents")
        names = [step.name.replace("->", "\u2192") for step in steps]
        left.set_yticks(range(len(steps)), names, color=INK)
        left.invert_yaxis()
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")


def _waterfall(axes: Axes, totals: Sequence[float], label: str) -> None:
    last = len(totals) - 1
    gap = 0.015 * max(totals)
    for index, total in enumerate(totals):
        before = 0.0 if index == 0 else totals[index - 1]
        change = total - before
        whole = index in (0, last)
        start, width = (0.0, total) if whole else (min(before, total), abs(change))
        colour = (OTHER_COLOUR if index == 0 else OWN_COLOUR) if whole else SAVED if change <= 0 else SPENT
        axes.barh(index, width, left=start, height=0.62, color=colour, zorder=3)
        if not whole and abs(change) < gap / 5:
            axes.plot([total, total], [index - 0.31, index + 0.31], color=QUIET, lw=1.5, zorder=3)
        words = f"{total:,.0f}" if whole else f"{change:+,.2f}".replace("-", "\u2212") if change else "0"
        axes.text(start + width + gap, index, words, va="center", fontsize=9, color=INK)
        if index < last:
            axes.plot([total, total], [index + 0.31, index + 0.69], color=QUIET, lw=0.8, zorder=2)
    axes.set_xlim(0, 1.2 * max(totals))
    axes.set_xlabel(label)
    axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)

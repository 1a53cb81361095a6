"""The map as a plot: density of candidates, edges, the budget, the published networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from space.explore.fronts import Front
from space.explore.report import Map
from space.explore.style import OTHER_COLOUR, OWN_COLOUR, QUIET, STYLE
from space.shared.outputs import writing_file

BUDGET_COLOUR = "#7a4fa3"
HALO = [withStroke(linewidth=3, foreground="white")]
TICKS = [12.5 * 2**step for step in range(10)]
# Name on the page, and where it stands from its point, in points of the page.
LABELS = {
    "md": ("MobileDiffusion", -9, -4, "right"),
    "md_lite": ("MobileDiffusion-Lite", -9, -4, "right"),
    "sd15": ("SD-1.4/1.5", 10, -4, "left"),
    "snapfusion": ("SnapFusion", 10, -12, "left"),
    "dit_xl_2": ("DiT-XL/2", 7, -13, "left"),
    "sdxl": ("SDXL", -10, 2, "right"),
}
EDGES: dict[Front, str] = {"most_parameters": "most parameters", "fewest_parameters": "fewest parameters"}


def plot_map(found: Map, path: Path) -> None:
    """Writes a .png, .svg or .pdf."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _scales(axes, found)
        _density(figure, axes, found)
        _edges(axes, found)
        _budget(axes, found)
        _networks(axes, found)
        axes.legend(loc="upper left", frameon=False)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with writing_file(path) as own:
            figure.savefig(own, dpi=150, format=path.suffix.lstrip("."), metadata=metadata)


def _scales(axes: Axes, found: Map) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    density, published = found.survey.density, np.array([at.cost for at in found.published])
    hit = [(counts.min(), counts.max() + 1) for counts in np.nonzero(density.counts)]
    for axis, edges, at, unit in (
        (axes.xaxis, density.parameters, 0, 1e6),
        (axes.yaxis, density.macs, 1, 1e9),
    ):
        values = np.concatenate([edges[list(hit[at])], published[:, at], _of_edges(found, at)]) / unit
        limits = values.min() * 0.85, values.max() * 1.25
        axis.set_major_locator(FixedLocator([tick for tick in TICKS if limits[0] <= tick <= limits[1]]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(*limits)
    axes.set_xlabel("parameters (millions)")
    axes.set_ylabel("GMACs of one image, one evaluation")


def _of_edges(found: Map, at: int) -> NDArray[np.int64]:
    return np.concatenate(
        [np.zeros(0, dtype=np.int64), *(part.costs[:, at] for part in found.edges.values())]
    )


def _density(figure: Figure, axes: Axes, found: Map) -> None:
    density = found.survey.density
    counts = np.ma.masked_equal(density.counts.T, 0)
    norm = LogNorm(1, max(2.0, float(density.counts.max())))
    mesh = axes.pcolormesh(
        density.parameters / 1e6, density.macs / 1e9, counts, norm=norm, cmap="YlGnBu", rasterized=True
    )
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, shrink=0.7)
    bar.set_label(f"candidates per cell, of {found.survey.samples:,} sampled")
    bar.outline.set_visible(False)


def _edges(axes: Axes, found: Map) -> None:
    for style, (name, label) in zip(("-", "--"), EDGES.items(), strict=True):
        if name not in found.edges:
            continue
        costs = found.edges[name].costs
        label = f"{label} for its MACs (exact, whole space)"
        axes.plot(costs[:, 0] / 1e6, costs[:, 1] / 1e9, style, color=QUIET, linewidth=1.2, label=label)


def _budget(axes: Axes, found: Map) -> None:
    """The corner that bounds of parameters and MACs leave; a missing one reaches the page's edge."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x = found.budget.parameters_millions
    y = found.budget.gmacs
    if x is None and y is None:
        return
    corner_x, corner_y = x if x is not None else right, y if y is not None else top
    label = (
        "budget"
        if found.within is None
        else f"budget: {100 * found.within.encodings / found.count.encodings:.1f} % of the encodings fit"
    )
    line: dict[str, Any] = {"color": BUDGET_COLOUR, "linewidth": 1.6}
    if y is not None:
        axes.plot([left, corner_x], [y, y], label=label, **line)
        label = ""
    if x is not None:
        axes.plot([x, x], [bottom, corner_y], label=label or None, **line)


def _networks(axes: Axes, found: Map) -> None:
    for at in found.published:
        name, right, up, side = LABELS.get(at.name, (at.name, 10, 0, "left"))
        colour = OWN_COLOUR if at.outside is None else OTHER_COLOUR
        x, y = at.cost.parameters / 1e6, at.cost.gmacs
        axes.plot(x, y, "o", color=colour, markersize=8, markeredgecolor="white", zorder=5)
        axes.annotate(
            name,
            (x, y),
            (right, up),
            textcoords="offset points",
            ha=side,
            color=colour,
            weight="bold",
            path_effects=HALO,
            zorder=6,
        )

"""How every plot of matplotlib becomes a file, and the colours that several share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from space.explore.style import STYLE
from space.shared.outputs import writing_file
from space.shared.plain import InputError

GRID_COLOUR = "#e4e8ec"
SAVED, SPENT = "#2a8c82", "#c8553d"


LEGEND_COLUMNS = 3


@contextmanager
def plot_file(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure of `size` inches that ends as a file. Raises InputError where it cannot be written."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        try:
            with writing_file(path) as own:
                figure.savefig(own, dpi=150, format=path.suffix.lstrip(".") or None)
        except OSError as error:
            raise InputError(f"plot: {path} cannot be written: {error}") from None


def log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 of each power of ten, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def legend_outside(figure: Figure, axes: Axes) -> None:
    """What the lines of `axes` are, below the whole figure: however many, they hide none of it."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False, fontsize=9,
        handlelength=3.5,
    )  # fmt: skip

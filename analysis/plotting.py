"""How every plot of matplotlib becomes a file, and the colours that several share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from space.explore.style import STYLE
from space.shared.plain import InputError

GRID_COLOUR = "#e4e8ec"
SAVED, SPENT = "#2a8c82", "#c8553d"


@contextmanager
def plot_file(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure of `size` inches that ends as a file. Raises InputError where it cannot be written."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=150)
        except OSError as error:
            raise InputError(f"picture: {path} cannot be written: {error}") from None

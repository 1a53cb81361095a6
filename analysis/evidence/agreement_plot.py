"""What proxies agree with the reference, against what a run of them costs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from analysis.evidence.agreement import DEFAULT_PROXY, Agreements
from analysis.plotting import GRID_COLOUR, legend_outside, log_ticks, plot_file
from space.explore.style import OWN_COLOUR, QUIET

_COLOURS = ("#2f6690", "#2a8c82", "#8a6bbe", "#6b7785")


def plot_agreement(path: Path, found: Agreements) -> None:
    """By FID and by CLIP: one run at every rung, joined; several runs averaged as a ring; the ceiling."""
    with plot_file(path, (10, 4.5)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, metric in zip(panels, list(found.ceilings)[:2], strict=True):
            _proxies(axes, metric, found)
            ceiling = found.ceilings[metric].with_mean
            if ceiling is not None:
                axes.axhline(
                    ceiling.middle, color=QUIET, ls="--", lw=1, label="another seed of the reference"
                )
            axes.axhline(0, color=GRID_COLOUR, lw=1)
            axes.set_xscale("log")
            log_ticks(axes.xaxis)
            axes.set_xlabel("core-minutes a network")
            axes.set_title(metric)
        panels[0].set_ylabel("rank correlation with the reference")
        legend_outside(figure, panels[0])


def _proxies(axes: Axes, metric: str, found: Agreements) -> None:
    others = [name for name in dict.fromkeys(row.proxy for row in found.rows) if name != DEFAULT_PROXY]
    colours = {DEFAULT_PROXY: OWN_COLOUR} | {
        name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(others)
    }
    for name, colour in colours.items():
        shown = [
            (row, each)
            for row in found.rows
            if row.proxy == name
            and metric in row.by_metric
            and (each := row.by_metric[metric].correlation) is not None
        ]
        single = [(row.core_minutes, each.middle) for row, each in shown if row.averaged == 1]
        if single:
            axes.plot(*zip(*single, strict=True), color=colour, lw=1.2, marker="o", ms=4, label=name)
        for row, each in shown:
            axes.plot([row.core_minutes] * 2, [each.low, each.high], color=colour, lw=0.8, alpha=0.35)
            if row.averaged > 1:
                axes.plot(row.core_minutes, each.middle, "o", mfc="none", color=colour, ms=8)

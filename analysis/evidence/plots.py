"""The plots of the evidence page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes

from analysis.evidence.correlation import Correlations
from analysis.evidence.effects import EffectSize
from analysis.evidence.metrics import Metric, goodness, metrics_of
from analysis.evidence.noise import MetricNoise, noise_at
from analysis.evidence.resampling import ERROR_RATE
from analysis.evidence.transfer import Both, Transfer
from analysis.plotting import GRID_COLOUR, SAVED, SPENT, log_ticks, plot_file
from analysis.replay.table import RecordedTable
from analysis.series import look
from search.formats import label
from search.statistics.verdicts import Interval
from space.architecture import Architecture
from space.explore.style import INK, OTHER_COLOUR, OWN_COLOUR, QUIET
from space.prices.macs import price

NAMED = {"MD": OWN_COLOUR, "MD-Lite": SAVED}
METRIC_COLOURS = (OTHER_COLOUR, OWN_COLOUR, SAVED, "#7a4fa3")


def plot_correlations(path: Path, found: Correlations) -> None:
    """Rank correlation with the end, by rung and metric: same run, another seed, the longer training; above
    of all networks, below of the sound ones."""
    kinds = [
        ("same_run", "the end of the same run"),
        ("other_seed", "the end of another seed"),
        ("longer", f"the end of {found.longer_steps} steps"),
    ]
    shown = [kind for kind in kinds if any(getattr(each, kind[0]) is not None for each in found.rungs)]
    rows = [("all", found), *([("sound", found.sound)] if found.sound is not None else [])]
    with plot_file(path, (3.6 * max(1, len(shown)) + 0.6, 3.6 * len(rows) + 0.2)) as figure:
        grid = figure.subplots(len(rows), max(1, len(shown)), sharey=True, squeeze=False)
        for panels, (which, own) in zip(grid, rows, strict=True):
            for axes, (kind, title) in zip(panels, shown, strict=False):
                _correlations(axes, own, kind)
                axes.set_title(f"{which}: with {title}", loc="left", fontsize=10)
            panels[0].set_ylabel("rank correlation, 95 %")
        grid[0][0].legend(frameon=False, loc="lower right", fontsize=8)


def _correlations(axes: Axes, found: Correlations, kind: str) -> None:
    for place, name in enumerate(dict.fromkeys(each.metric.name for each in found.rungs)):
        points = [
            (each.step * 1.03 ** (place - 1.5), getattr(each, kind))
            for each in found.rungs
            if each.metric.name == name and getattr(each, kind) is not None
        ]
        own = METRIC_COLOURS[place] if place < len(METRIC_COLOURS) else look(place).colour
        _with_bars(axes, points, name, own)
    _steps_axis(axes, [each.step for each in found.rungs])
    axes.axhline(0, color=QUIET, lw=0.8)


def _with_bars(axes: Axes, points: Sequence[tuple[float, Interval]], name: str, colour: str) -> None:
    if not points:
        return
    steps = [step for step, _ in points]
    middles = [found.middle for _, found in points]
    bars = [[f.middle - f.low for _, f in points], [f.high - f.middle for _, f in points]]
    axes.errorbar(
        steps,
        middles,
        np.clip(bars, 0, None),
        color=colour,
        marker="o",
        ms=4,
        lw=1.3,
        elinewidth=1,
        label=name,
    )


def plot_effects(path: Path, found: Sequence[EffectSize]) -> None:
    """Each decision's effect on FID and on CLIP with its interval; to the right the paper's side is
    better."""
    names = [f"{size.decision.name}:\n{size.decision.papers}, not {size.decision.other}" for size in found]
    with plot_file(path, (10, 0.55 * len(found) + 1.4)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for at, axes in enumerate(panels):
            for row, size in enumerate(found):
                _effect(axes, row, size, at)
            metric = found[0].effects[at].metric
            unit = f"{metric.name} (logarithm)" if metric.logarithmic else metric.name
            axes.axvline(0, color=QUIET, lw=1)
            axes.set_xlabel(f"gain of the paper's side, {unit}")
            axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(found)), names, fontsize=8)
        panels[0].set_ylim(len(found) - 0.4, -0.6)


def _effect(axes: Axes, row: int, size: EffectSize, at: int) -> None:
    effect = size.effects[at]
    rows = [row + 0.22] * len(effect.differences)
    axes.scatter(
        effect.differences, rows, s=12, color=GRID_COLOUR, edgecolors=QUIET, linewidths=0.5, zorder=2
    )
    if effect.interval is None:
        return
    colour = {1: SAVED, -1: SPENT, 0: QUIET}[effect.sign]
    axes.plot([effect.interval.low, effect.interval.high], [row, row], color=colour, lw=2, zorder=3)
    axes.scatter([effect.interval.middle], [row], s=42, color=colour, zorder=4)


def plot_scores(
    path: Path,
    table: RecordedTable,
    spread: Collection[str],
    named: dict[str, Architecture],
    noise: Sequence[MetricNoise],
) -> None:
    """FID and CLIP at the end against GMACs: the space-filling networks, and MD and MD-Lite with their
    noise."""
    with plot_file(path, (10, 4)) as figure:
        panels = figure.subplots(1, 2)
        for axes, metric in zip(panels, metrics_of(table)[:2], strict=True):
            values = goodness(table, metric, table.rungs[-1])
            points = [
                (price(table.runs[key][0].architecture).gmacs, _score(metric, fmean(values[key].values())))
                for key in values
                if key in spread
            ]
            axes.scatter(
                *zip(*points, strict=True), s=16, color=OTHER_COLOUR, alpha=0.6, label="space-filling"
            )
            for (name, network), colour in zip(named.items(), (OWN_COLOUR, SAVED), strict=False):
                if network.id in values:
                    variance = noise_at(noise, metric, table.rungs[-1], table.noise)
                    middle, runs = fmean(values[network.id].values()), len(values[network.id])
                    half = 1.96 * (variance.value / runs) ** 0.5
                    ends = [_score(metric, middle - half), _score(metric, middle + half)]
                    x = price(network).gmacs
                    axes.plot([x, x], ends, color=colour, lw=1.6)
                    axes.scatter(
                        [x], [_score(metric, middle)], s=60, color=colour, zorder=4, label=label(name)
                    )
            if metric.logarithmic:
                _log_scale(axes)
            axes.set_ylabel(f"{metric.name} at step {table.rungs[-1]}")
            axes.set_xlabel("GMACs at the paper's scale")
            axes.grid(color=GRID_COLOUR, lw=0.8)
            axes.set_axisbelow(True)
        panels[0].legend(frameon=False, fontsize=8)


def plot_curves(
    path: Path, table: RecordedTable, spread: Collection[str], named: dict[str, Architecture]
) -> None:
    """Each metric by training step: the middle half and 95 % of the space-filling networks, MD and
    MD-Lite."""
    metrics = metrics_of(table)[:3]
    with plot_file(path, (3.5 * len(metrics), 3.6)) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            curves = np.array([_curve(table, metric, key) for key in table.runs if key in spread])
            tails = (ERROR_RATE / 2, 0.25, 0.5, 0.75, 1 - ERROR_RATE / 2)
            low, lower, middle, upper, high = np.quantile(curves, tails, axis=0)
            axes.fill_between(
                table.rungs, low, high, color=OTHER_COLOUR, alpha=0.15, lw=0, label="95 % of networks"
            )
            axes.fill_between(
                table.rungs, lower, upper, color=OTHER_COLOUR, alpha=0.3, lw=0, label="middle half"
            )
            axes.plot(table.rungs, middle, color=OTHER_COLOUR, lw=1.3, label="median")
            for (name, network), colour in zip(named.items(), (OWN_COLOUR, SAVED), strict=False):
                if network.id in table.runs:
                    curve = _curve(table, metric, network.id)
                    axes.plot(table.rungs, curve, color=colour, marker="o", ms=3.5, label=label(name))
            if metric.logarithmic:
                _log_scale(axes)
            _steps_axis(axes, table.rungs)
            axes.set_title(metric.name, loc="left", fontsize=10, color=INK)
        panels[0].legend(frameon=False, fontsize=8)


def plot_proxies(path: Path, found: Transfer) -> None:
    """FID and CLIP of each network under the bigger proxy against those of the table's: networks of the
    table, winners of searches, MD and MD-Lite by name."""
    others = [each for each in found.networks if each.name not in NAMED]
    kinds = {
        "networks of the table": (OTHER_COLOUR, [each for each in others if not each.is_winner]),
        "winners of searches": (METRIC_COLOURS[-1], [each for each in others if each.is_winner]),
        **{
            name: (colour, [each for each in found.networks if each.name == name])
            for name, colour in NAMED.items()
        },
    }
    with plot_file(path, (10, 4)) as figure:
        panels = figure.subplots(1, 2)
        for axes, metric in zip(panels, ("FID", "CLIP"), strict=True):
            for name, (colour, networks) in kinds.items():
                axes.scatter(*_both(networks, metric), s=44, color=colour, alpha=0.85, label=name)
            axes.set_xlabel(f"{metric}, proxy of the table")
            axes.set_ylabel(f"{metric}, bigger proxy")
            axes.grid(color=GRID_COLOUR, lw=0.8)
            axes.set_axisbelow(True)
        panels[0].set_xscale("log")
        log_ticks(panels[0].xaxis)
        _log_scale(panels[0])
        panels[0].legend(frameon=False, fontsize=8)


def _both(networks: Sequence[Both], metric: str) -> tuple[list[float], list[float]]:
    pairs = [(each.near, each.far) for each in networks if each.near is not None]
    return [getattr(near, metric.lower()) for near, _ in pairs], [
        getattr(far, metric.lower()) for _, far in pairs
    ]


def _curve(table: RecordedTable, metric: Metric, key: str) -> list[float]:
    """The mean over seeds, as scores."""
    by_step = [goodness(table, metric, step, [key])[key] for step in table.rungs]
    return [_score(metric, fmean(by_seed.values())) for by_seed in by_step]


def _score(metric: Metric, goodness: float) -> float:
    raw = metric.sign * goodness
    return float(np.exp(raw)) if metric.logarithmic else raw


def _log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    log_ticks(axes.yaxis)


def _steps_axis(axes: Axes, steps: Sequence[int]) -> None:
    axes.set_xscale("log")
    ticks = sorted(set(steps))
    axes.set_xticks(ticks, [f"{step:,}" for step in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("training steps")
    axes.grid(color=GRID_COLOUR, lw=0.8)
    axes.set_axisbelow(True)

"""Wide and shallow, or narrow and deep? The paper's own search: networks of about one budget by their
innermost width.

Goodness of networks of one budget is fitted by a parabola in log2(width), least squares over the networks'
means (over the seeds that all of them share). Where its slope is zero lies the optimum, with the set of all
widths at which a slope of zero is not rejected (Fieller, 1954): an interval where the curvature is known to
be a peak's, and no interval otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log2, sqrt
from statistics import fmean

import numpy as np
from scipy.special import stdtrit

from analysis.evidence.metrics import Metric, goodness, metrics_of
from analysis.evidence.resampling import ERROR_RATE
from analysis.evidence.text import Chapter, markdown, missing, with_interval
from analysis.evidence.winners_text import tally, verdict_text
from analysis.replay.table import RecordedTable
from search.formats import counted, gmacs, millions
from search.runs.scores import all_of
from search.statistics import verdicts
from search.statistics.pareto import Point, mean_point
from search.statistics.verdicts import Interval, Verdict
from space.architecture import Architecture
from space.budget import Budget
from space.prices.macs import price

TITLE = "Width against depth at one budget"
NEAR = 0.92  # of a bound of the budget: what uses less does not compare at equal cost
FEWEST_NETWORKS = 6  # a parabola leaves half of them to say how far off it is


@dataclass(frozen=True)
class NearBudget:
    """A network that uses its budget up: `layers` are the innermost level's transformer layers."""

    architecture: Architecture
    width: int
    layers: int
    mean: Point
    seeds: int
    against_md: Verdict | None


@dataclass(frozen=True)
class WidthFit:
    """Goodness against log2(width / middle) at one step: `slope` at the middle width, `curvature` (negative:
    a peak), and the width of the optimum, infinite ends where none is known; None where there is no peak."""

    metric: Metric
    step: int
    middle: float
    coefficients: tuple[float, float, float]
    slope: Interval
    curvature: Interval
    optimum: Interval | None
    residual: float

    @property
    def located(self) -> bool:
        return self.optimum is not None and self.optimum.known

    def at(self, width: float) -> float:
        """The parabola's goodness."""
        x = log2(width / self.middle)
        level, slope, bend = self.coefficients
        return level + slope * x + bend * x * x


@dataclass(frozen=True)
class WidthAgainstDepth:
    """What networks of one budget say, widest first; `md` is the reference's id, `deviations` are one run's
    at the end, of FID's logarithm and of CLIP."""

    networks: tuple[NearBudget, ...]
    seeds: tuple[int, ...]
    fits: tuple[WidthFit, ...]
    md: str
    deviations: tuple[float, ...]


def width_against_depth(table: RecordedTable, md: Architecture, budget: Budget) -> WidthAgainstDepth | None:
    """None for too few networks near the budget or fewer than four widths, or no seed that all share."""
    near = {key: runs for key, runs in table.runs.items() if NEAR <= used(runs[0].architecture, budget) <= 1}
    seeds = sorted(set.intersection(*({run.seed for run in runs} for runs in near.values()))) if near else []
    widths = {key: runs[0].architecture.levels[-1].channels for key, runs in near.items()}
    if len(near) < FEWEST_NETWORKS or len(set(widths.values())) < 4 or not seeds:
        return None
    points = {
        key: {run.seed: all_of(run.rungs[-1].scores, table.objectives) for run in runs}
        for key, runs in near.items()
    }
    evidence = verdicts.Evidence(points, table.rungs[-1], table.noise)
    networks = [
        NearBudget(
            network := runs[0].architecture,
            widths[key],
            sum(network.levels[-1].down) + sum(network.levels[-1].up),
            mean_point(list(points[key].values())),
            len(points[key]),
            evidence.verdict(key, md.id) if key != md.id and md.id in near else None,
        )
        for key, runs in near.items()
    ]
    fits = []
    for metric in metrics_of(table)[:2]:
        for step in table.rungs:
            values = goodness(table, metric, step, near)
            means = [fmean(values[key][seed] for seed in seeds) for key in near]
            fits.append(fitted(metric, step, [widths[key] for key in near], means))
    deviations = tuple(variance.deviation for variance in evidence.pair_noise.variances[:2])
    networks.sort(key=lambda each: (-each.width, each.layers))
    return WidthAgainstDepth(tuple(networks), tuple(seeds), tuple(fits), md.id, deviations)


def used(architecture: Architecture, budget: Budget) -> float:
    """The share of the budget: of whichever of parameters and MACs is nearer its bound (above 1: over)."""
    cost = price(architecture)
    shares = [
        value / bound
        for value, bound in (
            (cost.parameters / 1e6, budget.parameters_millions),
            (cost.gmacs, budget.gmacs),
        )
        if bound
    ]
    return max(shares, default=0.0)


def fitted(metric: Metric, step: int, widths: Sequence[int], means: Sequence[float]) -> WidthFit:
    """The parabola, Student's intervals of n - 3 degrees of freedom, and Fieller's of its optimum."""
    middle = 2 ** fmean(log2(width) for width in widths)
    x = np.array([log2(width / middle) for width in widths])
    design = np.stack([np.ones_like(x), x, x * x], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    solution = inverse @ design.T @ np.array(means)
    freedom = len(means) - 3
    variance = float(((np.array(means) - design @ solution) ** 2).sum()) / freedom
    covariance = inverse * variance
    t = -float(stdtrit(freedom, ERROR_RATE / 2))
    slope, bend = float(solution[1]), float(solution[2])
    half, bend_half = (t * sqrt(float(covariance[place, place])) for place in (1, 2))
    return WidthFit(
        metric,
        step,
        middle,
        (float(solution[0]), slope, bend),
        Interval(slope, slope - half, slope + half),
        Interval(bend, bend - bend_half, bend + bend_half),
        _optimum(slope, bend, covariance, t, middle),
        sqrt(variance),
    )


def _optimum(slope: float, bend: float, covariance: np.ndarray, t: float, middle: float) -> Interval | None:
    """All widths at which (slope + 2 bend x)^2 <= t^2 Var(slope + 2 bend x)."""
    if bend >= 0:
        return None
    peak = middle * 2 ** (-slope / (2 * bend))
    a = 4 * (bend**2 - t**2 * covariance[2, 2])
    b = 4 * (slope * bend - t**2 * covariance[1, 2])
    c = slope**2 - t**2 * covariance[1, 1]
    if a <= 0:
        return Interval(peak, -inf, inf)
    root = max(0.0, b * b - 4 * a * c)  # the peak itself solves it: below zero by rounding alone
    ends = sorted(middle * 2 ** ((-b + sign * sqrt(root)) / (2 * a)) for sign in (-1, 1))
    return Interval(peak, *ends)


# ---------------------------------------------------------------------- in words


def width_chapter(found: WidthAgainstDepth | None, plot: str) -> Chapter:
    if found is None:
        what = f"{FEWEST_NETWORKS} networks or more that use at least {NEAR:.0%} of MD's budget (run `paper`)"
        return missing(TITLE, what)
    parts = [
        "Section 3.4 of the paper searches the innermost width and its transformer layers, with all else as "
        f"MD's. Here {counted(len(found.networks), 'network')} that use {NEAR:.0%} of its budget or more, "
        f"trained to step {found.fits[-1].step:,} with {counted(len(found.seeds), 'shared seed')}. Verdicts "
        "against MD are paired by seed.",
        markdown([_row(each, found) for each in found.networks]),
        "A parabola in log2(width) through the networks' means, for the FID's logarithm (lower is better) "
        "and for CLIP. *Optimum*: where its slope is zero, with all widths at which a slope of zero is not "
        "rejected (Fieller's interval). *Not located*: that no peak is there is not rejected.",
        markdown([_fit_row(each) for each in found.fits]),
        plot,
    ]
    last = [each for each in found.fits if each.step == found.fits[-1].step]
    findings = (*(_finding(each, found) for each in last), *_against_md(found.networks))
    return Chapter(TITLE, tuple(parts), findings)


def _row(each: NearBudget, found: WidthAgainstDepth) -> dict[str, str]:
    cost, is_md = price(each.architecture), each.architecture.id == found.md
    level = each.architecture.levels[-1]
    return {
        "width": f"{each.width}{' (MD)' if is_md else ''}",
        "layers": f"{each.layers} ({level.down[0]} down, {level.up[0]} up)",
        "size": f"{millions(cost.parameters)}, {gmacs(cost.gmacs)}",
        "seeds": str(each.seeds),
        "FID": f"{each.mean.fid:,.0f}",
        "CLIP": f"{each.mean.clip:.3f}",
        "against MD": "-" if is_md else verdict_text(each.against_md, "-"),
    }


def _fit_row(each: WidthFit) -> dict[str, str]:
    return {
        "metric": each.metric.name,
        "step": f"{each.step:,}",
        "for each doubling of width": _change(each.metric, each.slope),
        "curvature (a peak: below 0)": with_interval(each.curvature),
        "optimum": optimum_text(each),
        "residual": each.metric.deviation(each.residual),
    }


def _change(metric: Metric, found: Interval) -> str:
    """As a change of the score: of goodness from low to high, an FID falls."""
    ends = sorted((found.low, found.high), key=metric.change)
    low, high = map(metric.change_text, ends)
    return f"{metric.change_text(found.middle)} ({low} to {high})"


def optimum_text(fit: WidthFit) -> str:
    if fit.optimum is None:
        return "no peak"
    if not fit.located:
        return f"{fit.optimum.middle:,.0f}, not located"
    return f"{fit.optimum.middle:,.0f} ({fit.optimum.low:,.0f} to {fit.optimum.high:,.0f})"


def _finding(fit: WidthFit, found: WidthAgainstDepth) -> str:
    widths = sorted({each.width for each in found.networks})
    of = (
        f"Of {counted(len(found.networks), 'network')} of MD's budget, innermost widths {widths[0]} to "
        f"{widths[-1]}, {fit.metric.name} at step {fit.step:,}"
    )
    md = next((each.width for each in found.networks if each.architecture.id == found.md), None)
    optimum = fit.optimum
    if optimum is not None and fit.located:
        inside = "inside" if md and optimum.low <= md <= optimum.high else "outside"
        where = f"MD's {md} is {inside}" if md else "MD was not trained"
        beyond = "" if widths[0] <= optimum.middle <= widths[-1] else ", beyond what was trained"
        return f"{of} is best at a width of {optimum_text(fit)}{beyond}; {where}."
    if fit.slope.sign:
        wider = "wider" if fit.slope.sign > 0 else "deeper"
        return (
            f"{of} has no peak that could be located: {wider} networks are better "
            f"({_change(fit.metric, fit.slope)} for each doubling of width)."
        )
    return (
        f"{of} shows neither a peak nor a slope ({_change(fit.metric, fit.slope)} for each doubling of "
        "width): where the optimum lies is undecided."
    )


def _against_md(networks: Sequence[NearBudget]) -> list[str]:
    said = [(each.against_md,) for each in networks if each.against_md is not None]
    if not said:
        return []
    words = tally(said, said[0][0].against)
    return [f"Of the {counted(len(said), 'other')} at MD's budget, against MD: {words}."]

"""What does each decision change on average over the space? A regression on all choices at once, beside the
pairs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy.special import stdtrit

from analysis.evidence.decisions import PAPER_DECISIONS, PaperDecision, Toggle
from analysis.evidence.metrics import Metric, goodness, metrics_of
from analysis.evidence.resampling import ERROR_RATE, Array
from analysis.replay.table import RecordedTable
from search.statistics.verdicts import Interval
from space.architecture import Architecture
from space.choices import Space

LEAST_FREEDOM = 20  # networks beyond the columns of the regression
TOGGLES = {each: each.change for each in PAPER_DECISIONS if isinstance(each.change, Toggle)}


@dataclass(frozen=True)
class OnMetric:
    """An effect as goodness of one metric, with its interval; `sign` is 0 where it does not stand with all
    effects counted (Bonferroni)."""

    metric: Metric
    interval: Interval
    sign: int


@dataclass(frozen=True)
class MainEffect:
    """The paper's side of a decision less the other, as goodness of FID and of CLIP, the other choices held;
    over the networks on which the decision acts."""

    decision: PaperDecision
    networks: int
    effects: tuple[OnMetric, ...]


def main_effects(table: RecordedTable, spread: Collection[str]) -> list[MainEffect]:
    """Of the decisions that are one choice, over the space-filling networks, in which every choice comes
    about evenly with every other; empty for too few of them, or where they do not tell the choices apart.

    Ordinary least squares on all choices, with errors that hold where noise is uneven (HC3: MacKinnon and
    White, 1985).
    """
    keys = [key for key in table.runs if key in spread]
    networks = [table.runs[key][0].architecture for key in keys]
    names, columns = _columns(networks, table.space)
    freedom = len(keys) - len(names) - 1
    if freedom < LEAST_FREEDOM or np.linalg.matrix_rank(columns - columns.mean(axis=0)) < len(names):
        return []
    metrics = metrics_of(table)[:2]
    by_metric = [goodness(table, metric, table.rungs[-1], keys) for metric in metrics]
    scores = [np.array([fmean(values[key].values()) for key in keys]) for values in by_metric]
    found = []
    for decision, toggle in TOGGLES.items():
        contrast = _contrast(toggle, names)
        if contrast.any():
            acting = sum(toggle.name not in table.space.ignored(network) for network in networks)
            effects = [
                _on(metric, columns, each, contrast, freedom)
                for metric, each in zip(metrics, scores, strict=True)
            ]
            found.append(MainEffect(decision, acting, tuple(effects)))
    return found


def _contrast(toggle: Toggle, names: Sequence[tuple[str, Any]]) -> Array:
    """The paper's value less the other, of the columns; zeros where the networks do not tell them apart."""
    signs = {(toggle.name, toggle.papers): 1.0, (toggle.name, toggle.other): -1.0}
    return np.array([signs.get(name, 0.0) for name in names])


def _on(metric: Metric, columns: Array, scores: Array, contrast: Array, freedom: int) -> OnMetric:
    tests = 2 * len(TOGGLES)  # of FID and of CLIP
    own, counted = (
        contrast_interval(columns, scores, contrast, freedom, level)
        for level in (ERROR_RATE, ERROR_RATE / tests)
    )
    return OnMetric(metric, own, counted.sign)


def contrast_interval(columns: Array, scores: Array, contrast: Array, freedom: int, level: float) -> Interval:
    """Of a sum of coefficients of the least-squares fit of the scores by an intercept and the columns."""
    design = np.column_stack([np.ones(len(columns)), columns])
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ design.T @ scores
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    left = (scores - design @ coefficients) / np.clip(1 - leverage, 1e-9, None)
    weights = np.concatenate([[0.0], contrast]) @ inverse @ design.T
    error = float(np.sqrt(((weights * left) ** 2).sum()))
    middle, half = float(coefficients[1:] @ contrast), -float(stdtrit(freedom, level / 2)) * error
    return Interval(middle, middle - half, middle + half)


def _columns(networks: Sequence[Architecture], space: Space) -> tuple[list[tuple[str, Any]], Array]:
    """A decision's choice has a column for each value but its last, others one (the place of the value).
    Where a choice is inactive, a network stands at the mean of the others."""
    decided = {toggle.name for toggle in TOGGLES.values()}
    rows = [(space.encode(network), space.ignored(network)) for network in networks]
    names: list[tuple[str, Any]] = []
    columns = []
    for name, values in space.free().items():
        places = np.array([np.nan if name in out else values.index(chosen[name]) for chosen, out in rows])
        acts = ~np.isnan(places)
        for value in values[:-1] if name in decided else values[:1]:
            column = np.where(places == values.index(value), 1.0, 0.0) if name in decided else places
            if np.ptp(column[acts]) if acts.any() else False:
                names.append((name, value))
                columns.append(np.where(acts, column, column[acts].mean()))
    return names, np.array(columns).T

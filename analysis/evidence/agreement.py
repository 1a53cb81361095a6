"""Is there a better proxy? What it is worth: how far it orders sound networks as a longer and larger training
does, beside what a run of it costs.

One run's score is correlated with the mean of the reference's seeds at its end, the mean over the proxy's
seeds. How far noise of the reference lets anything come is said by its own seeds: one with another, and,
after Spearman and Brown, another seed with their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import fmean

import numpy as np

from analysis.evidence.metrics import ByNetwork, Metric, goodness, metrics_of, with_shared_seeds
from analysis.evidence.resampling import ERROR_RATE, Array, bootstrap_interval, mean_spearman, spearman
from analysis.replay.table import RecordedTable
from search.statistics.verdicts import Interval

DEFAULT_PROXY = "the default"
FEWEST_COMPARED = 6  # of five a bootstrap interval leaves out 0 by luck in 12 of 100
DECIDING = 2  # metrics, FID and CLIP, whose correlations together make the verdict


@dataclass(frozen=True)
class RankAgreement:
    """Of one metric with the reference: rank correlation, and the share of pairs of networks in its order, of
    those that all its seeds order alike."""

    correlation: Interval | None
    pairs: Interval | None


@dataclass(frozen=True)
class ProxyAtRung:
    """A proxy at one of its rungs. `averaged` runs of each network make one score, and cost together.

    `gain` is by how much the mean correlation of FID and CLIP is above that of one full run of the default,
    on the networks that both trained; `verdict` says whether it is beyond chance with all proxies counted,
    and is empty where nothing was to be decided.
    """

    proxy: str
    step: int
    seeds: int
    averaged: int
    networks: int
    core_minutes: float
    by_metric: Mapping[str, RankAgreement]
    gain: Interval | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Ceiling:
    """Of one metric at the end of the reference: rank correlation of one seed with another, of another seed
    with the mean of those there are, and of how many pairs of networks all seeds order alike."""

    one_seed: Interval | None
    with_mean: Interval | None
    alike: int


@dataclass(frozen=True)
class Agreements:
    """Every proxy at every rung, the default first, and the reference; and how many of its networks proxies
    have that were left out for too few."""

    rows: tuple[ProxyAtRung, ...]
    ceilings: Mapping[str, Ceiling]
    networks: int
    seeds: int
    steps: int
    core_minutes: float
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def judged(self) -> list[ProxyAtRung]:
        return [row for row in self.rows if row.verdict]


class ProxyReference:
    """The longer and larger training: networks with two seeds or more, and the seeds that all share."""

    def __init__(self, table: RecordedTable) -> None:
        self.table, self.step = table, table.rungs[-1]
        self.metrics = {metric.name: metric for metric in metrics_of(table)}
        first = goodness(table, next(iter(self.metrics.values())), self.step)
        self.keys, self.seeds = with_shared_seeds(first)

    def ends(self, metric: str, keys: Sequence[str]) -> Array:
        """Networks x seeds."""
        values = goodness(self.table, self.metrics[metric], self.step, keys)
        return np.array([[values[key][seed] for seed in self.seeds] for key in keys])

    def ceiling(self, metric: str) -> Ceiling:
        ends = self.ends(metric, self.keys)
        count = len(self.seeds)
        one = mean_spearman(list(combinations(range(count), 2)))
        return Ceiling(
            bootstrap_interval(ends, one),
            bootstrap_interval(ends, lambda samples: with_mean_of(one(samples), count)),
            int(_alike(ends[None])[0].sum()) // 2,
        )


def with_mean_of(correlation: Array, count: int) -> Array:
    """What correlates so with each of `count` equals correlates so with their mean (Spearman and Brown);
    correlations below zero stay."""
    positive = np.maximum(correlation, 0)
    return np.where(correlation > 0, positive / np.sqrt((1 + (count - 1) * positive) / count), correlation)


def agreements(
    table: RecordedTable, others: Mapping[str, RecordedTable], reference: RecordedTable
) -> Agreements | None:
    """Of the table's proxy, which is the default, and the others by their names; None where fewer than
    `FEWEST_COMPARED` have two seeds of the reference."""
    held = ProxyReference(reference)
    if len(held.keys) < FEWEST_COMPARED:
        return None
    proxies = {name: _Proxy(each, held) for name, each in {DEFAULT_PROXY: table, **others}.items()}
    usable = {name: each for name, each in proxies.items() if len(each.keys) >= FEWEST_COMPARED}
    rows = []
    for name, each in usable.items():
        rows += [each.at(name, step, averaged=1) for step in each.table.rungs]
        if len(each.seeds) > 1:
            rows.append(each.at(name, each.table.rungs[-1], averaged=len(each.seeds)))
    judged = sum(_is_judged(row, usable[row.proxy]) for row in rows)
    return Agreements(
        tuple(_against_default(row, usable, held, judged) for row in rows),
        {name: held.ceiling(name) for name in held.metrics},
        len(held.keys),
        len(held.seeds),
        held.step,
        _core_minutes(reference, held.keys, held.step),
        {name: len(each.keys) for name, each in proxies.items() if name not in usable},
    )


class _Proxy:
    """A proxy's runs of the reference's networks, with the seeds that all of these share."""

    def __init__(self, table: RecordedTable, reference: ProxyReference) -> None:
        self.table, self.reference = table, reference
        self.metrics = {each.name: each for each in metrics_of(table) if each.name in reference.metrics}
        end = goodness(table, next(iter(self.metrics.values())), table.rungs[-1], reference.keys)
        self.keys, self.seeds = with_common_seed(end)

    def values(self, metric: Metric, step: int, keys: Sequence[str]) -> Array:
        """Networks x seeds."""
        found = goodness(self.table, metric, step, keys)
        return np.array([[found[key][seed] for seed in self.seeds] for key in keys])

    def at(self, name: str, step: int, averaged: int) -> ProxyAtRung:
        by_metric = {}
        for metric in self.metrics.values():
            own = _averaged(self.values(metric, step, self.keys), averaged)
            ends, columns = self.reference.ends(metric.name, self.keys), own.shape[1]
            rows = np.column_stack([own, ends.mean(axis=1), ends])
            by_metric[metric.name] = RankAgreement(
                bootstrap_interval(rows, with_last(columns, columns)),
                bootstrap_interval(rows, pair_accuracy(columns, columns + 1)),
            )
        minutes = averaged * _core_minutes(self.table, self.keys, step)
        return ProxyAtRung(name, step, len(self.seeds), averaged, len(self.keys), minutes, by_metric)


def with_last(columns: int, end: int) -> Callable[[Array], Array]:
    """The mean rank correlation of the first so many columns with the column `end`."""
    return mean_spearman([(at, end) for at in range(columns)])


def pair_accuracy(columns: int, first_end: int) -> Callable[[Array], Array]:
    """Of the pairs of networks that all columns from `first_end` on order alike, the share that the first so
    many columns order likewise, on average; a tie is half."""

    def share(samples: Array) -> Array:
        alike, order = _alike(samples[:, :, first_end:]), _order(samples[:, :, first_end])
        right = [1 + _order(samples[:, :, at]) * order for at in range(columns)]
        with np.errstate(invalid="ignore"):
            return np.mean([(each / 2 * alike).sum((1, 2)) for each in right], axis=0) / alike.sum((1, 2))

    return share


def _order(column: Array) -> Array:
    """Samples x networks x networks: 1 where the first is above the second, -1 below, 0 the same."""
    return np.sign(column[:, :, None] - column[:, None, :])


def _alike(ends: Array) -> Array:
    """Samples x networks x networks: 1 where all columns order two networks alike, each pair twice."""
    total = sum(_order(ends[:, :, at]) for at in range(ends.shape[2]))
    return (np.abs(total) == ends.shape[2]).astype(np.float64)


def _averaged(values: Array, averaged: int) -> Array:
    return values if averaged == 1 else values.mean(axis=1, keepdims=True)


def with_common_seed(values: ByNetwork) -> tuple[list[str], list[int]]:
    """The networks that have the commonest seed, and all seeds that these share."""
    counts: dict[int, int] = {}
    for by_seed in values.values():
        for seed in by_seed:
            counts[seed] = counts.get(seed, 0) + 1
    if not counts:
        return [], []
    commonest = max(sorted(counts), key=lambda seed: counts[seed])
    keys = [key for key, by_seed in values.items() if commonest in by_seed]
    return keys, sorted(set.intersection(*(set(values[key]) for key in keys)))


def _core_minutes(table: RecordedTable, keys: Collection[str], step: int) -> float:
    """Of a worker, for one run up to a rung, on average over these networks."""
    seconds = [
        sum(sum(rung.seconds.values()) for rung in run.rungs if rung.step <= step)
        for key in keys
        for run in table.runs[key]
    ]
    return fmean(seconds) / 60


# ---------------------------------------------------------------------- against the default


def _is_judged(row: ProxyAtRung, proxy: _Proxy) -> bool:
    """One full run of each proxy beside the default: what a search could be made of."""
    return row.proxy != DEFAULT_PROXY and row.averaged == 1 and row.step == proxy.table.rungs[-1]


def _against_default(
    row: ProxyAtRung, proxies: Mapping[str, _Proxy], reference: ProxyReference, judged: int
) -> ProxyAtRung:
    default, own = proxies.get(DEFAULT_PROXY), proxies[row.proxy]
    if default is None or (own is default and row.averaged == 1 and row.step == default.table.rungs[-1]):
        return row  # itself
    keys = [key for key in own.keys if key in default.keys]
    if len(keys) < FEWEST_COMPARED:
        return row
    matrix, statistic = _gain(row, own, default, reference, keys)
    gain = bootstrap_interval(matrix, statistic)
    if not _is_judged(row, own):
        return replace(row, gain=gain)
    strict = bootstrap_interval(matrix, statistic, ERROR_RATE / judged)
    words = {1: "better than the default", -1: "worse than the default"}
    return replace(row, gain=gain, verdict=words.get(strict.sign if strict else 0, "undecided"))


def _gain(
    row: ProxyAtRung, own: _Proxy, default: _Proxy, reference: ProxyReference, keys: Sequence[str]
) -> tuple[Array, Callable[[Array], Array]]:
    """Columns and the statistic: the mean over FID and CLIP of the correlations' difference."""
    columns: list[Array] = []
    parts: list[tuple[list[int], list[int], int]] = []
    for name in list(reference.metrics)[:DECIDING]:
        mine = _averaged(own.values(own.metrics[name], row.step, keys), row.averaged)
        theirs = default.values(default.metrics[name], default.table.rungs[-1], keys)
        end = reference.ends(name, keys).mean(axis=1, keepdims=True)
        begin = sum(each.shape[1] for each in columns)
        middle, last = begin + mine.shape[1], begin + mine.shape[1] + theirs.shape[1]
        parts.append((list(range(begin, middle)), list(range(middle, last)), last))
        columns += [mine, theirs, end]

    def statistic(samples: Array) -> Array:
        gains = []
        for mine, theirs, end in parts:
            means = [np.mean([spearman(samples, at, end) for at in some], axis=0) for some in (mine, theirs)]
            gains.append(means[0] - means[1])
        found: Array = np.mean(gains, axis=0)
        return found

    return np.column_stack(columns), statistic

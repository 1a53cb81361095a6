"""Does the order of networks carry over to other images? The same networks trained on both, with some seeds.

What correlates can be no nearer than the seeds of either side are to each other: `most` is the correlation of
means that their noise leaves if the order is the same (Spearman's correction for attenuation, with the
reliability of a mean after Spearman and Brown).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf
from statistics import fmean

import numpy as np

from analysis.evidence.agreement import (
    DECIDING,
    FEWEST_COMPARED,
    pair_accuracy,
    with_common_seed,
    with_last,
    with_mean_of,
)
from analysis.evidence.decisions import PAPER_DECISIONS, MatchedPair, PaperDecision, pairs_among
from analysis.evidence.metrics import (
    ByNetwork,
    Metric,
    goodness,
    metrics_of,
    repeated,
    sound_networks,
    with_shared_seeds,
)
from analysis.evidence.resampling import ERROR_RATE, Array, bootstrap_interval, mean_spearman, spearman
from analysis.replay.table import RecordedTable
from search.statistics.variance import within_paired
from search.statistics.verdicts import Interval


@dataclass(frozen=True)
class CarriedOver:
    """One score here against one there, over the networks that both trained.

    Attributes:
        here, there: full names of the scores.
        means: rank correlation of the mean here with the mean there, each over the seeds that a network has.
        alike: the networks, of these, that share so many seeds here and there: all below is of them.
        shared: rank correlation of the means over these seeds, to which `most` is the limit.
        one_run: rank correlation of one run here with the mean there, the mean over the seeds here.
        another_seed: what another seed there would reach in its place.
        most: what noise leaves of the correlation of their means; None with one seed on a side.
        pairs: of pairs of networks that all seeds there order alike, the share that the mean here orders so.
    """

    here: str
    there: str
    networks: int
    means: Interval | None
    alike: int
    seeds: tuple[int, int]
    shared: Interval | None
    one_run: Interval | None
    another_seed: Interval | None
    most: Interval | None
    pairs: Interval | None


@dataclass(frozen=True)
class DecisionElsewhere:
    """A decision of the paper by the same pairs of networks: what the paper's side changes in FID and CLIP,
    as goodness (above zero: better), here and there, with the interval that the noise of seeds gives.

    Attributes:
        unshared: pairs that count nowhere, since their networks share no seed here or there.
    """

    decision: PaperDecision
    pairs: int
    unshared: int
    metrics: tuple[tuple[Metric, Metric], ...]
    here: tuple[Interval, ...]
    there: tuple[Interval, ...]

    @property
    def word(self) -> str:
        """Whether it comes out otherwise there, in a score that decides it on both sides. How much it changes
        does not compare: scores here and there are of other features."""
        signs = [(one.sign, other.sign) for one, other in zip(self.here, self.there, strict=True)]
        if any(one * other < 0 for one, other in signs):
            return "otherwise"
        if any(one and one == other for one, other in signs):
            return "as here"
        return "undecided"


@dataclass(frozen=True)
class Elsewhere:
    """`sound` are the orders among networks that are sound here; `all_networks` those of every network, which
    the ones that fail carry."""

    sound: tuple[CarriedOver, ...]
    all_networks: tuple[CarriedOver, ...]
    decisions: tuple[DecisionElsewhere, ...]


def elsewhere(here: RecordedTable, there: RecordedTable) -> Elsewhere:
    """Of what both trained to the end of their rungs."""
    both = [key for key in there.runs if key in here.runs]
    sound = sound_networks(here)
    return Elsewhere(
        carried_over(here, there, [key for key in both if key in sound]),
        carried_over(here, there, both),
        decisions_elsewhere(here, there),
    )


def matching_metrics(here: RecordedTable, there: RecordedTable) -> list[tuple[Metric, Metric]]:
    """Each score there with the same here; an FID that there is not here with the one that decides here, and
    what decides there with what decides here."""
    ours, theirs = metrics_of(here), metrics_of(there)
    by_score = {metric.score: metric for metric in ours}
    found = []
    for place, metric in enumerate(theirs):
        fitting = [by_score.get(metric.score), ours[place] if place < DECIDING else None]
        if metric.score.startswith("fid_") and metric.score not in by_score:
            fitting.append(ours[0])
        found += [(one, metric) for one in dict.fromkeys(fitting) if one is not None]
    return found


def carried_over(
    here: RecordedTable, there: RecordedTable, networks: Sequence[str]
) -> tuple[CarriedOver, ...]:
    """Every score there that has its like here; empty for fewer than `FEWEST_COMPARED` networks."""
    if len(networks) < FEWEST_COMPARED:
        return ()
    return tuple(
        _carried(one, other, _ends(here, one, networks), _ends(there, other, networks))
        for one, other in matching_metrics(here, there)
    )


def _shared(values: ByNetwork) -> tuple[list[str], list[int]]:
    """The networks that share two seeds or more, and these; without `FEWEST_COMPARED` of them, those that
    share one."""
    keys, seeds = with_shared_seeds(values)
    return (keys, seeds) if len(keys) >= FEWEST_COMPARED else with_common_seed(values)


def _carried(one: Metric, other: Metric, ours: ByNetwork, theirs: ByNetwork) -> CarriedOver:
    means = [[fmean(side[key].values()) for side in (ours, theirs)] for key in ours]
    keys, seeds = _shared(ours)
    keys, their_seeds = _shared({key: theirs[key] for key in keys})
    here, there = _columns(ours, keys, seeds), _columns(theirs, keys, their_seeds)
    a, b = len(seeds), len(their_seeds)
    rows = np.column_stack([here, there.mean(axis=1), there])
    both_means = np.column_stack([here.mean(axis=1), there.mean(axis=1)])
    own_means = np.column_stack([both_means, there])
    between, enough = mean_spearman(list(combinations(range(b), 2))), len(keys) >= FEWEST_COMPARED
    return CarriedOver(
        one.score,
        other.score,
        len(ours),
        bootstrap_interval(np.array(means), spearman),
        len(keys),
        (a, b),
        bootstrap_interval(both_means, spearman) if enough else None,
        bootstrap_interval(rows, with_last(a, a)) if enough else None,
        bootstrap_interval(there, lambda s: with_mean_of(between(s), b)) if enough and b > 1 else None,
        bootstrap_interval(np.column_stack([here, there]), lambda s: _most(s, a))
        if enough and min(a, b) > 1
        else None,
        bootstrap_interval(own_means, pair_accuracy(1, 2)) if enough and b > 1 else None,
    )


def _most(samples: Array, first_there: int) -> Array:
    """The root of the product of both means' reliabilities."""
    parts = [range(first_there), range(first_there, samples.shape[2])]
    reliable = [reliability(mean_spearman(list(combinations(part, 2)))(samples), len(part)) for part in parts]
    found: Array = np.sqrt(reliable[0] * reliable[1])
    return found


def reliability(correlation: Array, count: int) -> Array:
    """Of the mean of so many seeds, of which one correlates so with another; none below zero."""
    one = np.maximum(correlation, 0)
    return count * one / (1 + (count - 1) * one)


# ---------------------------------------------------------------------- the paper's decisions


def decisions_elsewhere(here: RecordedTable, there: RecordedTable) -> tuple[DecisionElsewhere, ...]:
    """Of which both sides trained a pair with a shared seed."""
    networks = [runs[0].architecture for key, runs in there.runs.items() if key in here.runs]
    metrics = tuple(zip(metrics_of(here)[:DECIDING], metrics_of(there)[:DECIDING], strict=True))
    found, sound, tables = [], sound_networks(here), (here, there)
    for decision in PAPER_DECISIONS:
        all_pairs = pairs_among(decision, networks, here.space)
        pairs = [
            pair
            for pair in all_pairs
            if all(
                _share_a_seed(table, metric, pair)
                for each in metrics
                for table, metric in zip(tables, each, strict=True)
            )
        ]
        alike = sound if all(sound.issuperset(pair.ids) for pair in pairs) else None
        if all_pairs:
            ours, theirs = (
                tuple(_change(table, each[side], pairs, alike) for each in metrics)
                for side, table in enumerate(tables)
            )
            unshared = len(all_pairs) - len(pairs)
            found.append(DecisionElsewhere(decision, len(pairs), unshared, metrics, ours, theirs))
    return tuple(found)


def _share_a_seed(table: RecordedTable, metric: Metric, pair: MatchedPair) -> bool:
    values = _ends(table, metric, pair.ids)
    return len(values) == 2 and bool(set.intersection(*map(set, values.values())))


def _change(
    table: RecordedTable, metric: Metric, pairs: Sequence[MatchedPair], alike: Collection[str] | None
) -> Interval:
    """The mean over pairs of the paper's side less the other, over the seeds that both have; nothing is known
    without pairs.

    Args:
        alike: the networks whose repeated seeds say what noise is; None: all. Failed ones have far more.
    """
    values = _ends(table, metric)
    differences = []
    for pair in pairs:
        papers, other = (values[key] for key in pair.ids)
        differences.append([papers[seed] - other[seed] for seed in papers if seed in other])
    if not differences:
        return Interval(0.0, -inf, inf)
    middle = fmean(map(fmean, differences))
    runs = len(differences) ** 2 / sum(1 / len(each) for each in differences)  # as so many pairs of runs
    own = {key: by_seed for key, by_seed in values.items() if alike is None or key in alike}
    half = within_paired(repeated(own)).half_width(runs, ERROR_RATE)
    return Interval(middle, middle - half, middle + half)


def _ends(table: RecordedTable, metric: Metric, networks: Sequence[str] | None = None) -> ByNetwork:
    return goodness(table, metric, table.rungs[-1], networks)


def _columns(values: ByNetwork, keys: Sequence[str], seeds: Sequence[int]) -> Array:
    return np.array([[values[key][seed] for seed in seeds] for key in keys])

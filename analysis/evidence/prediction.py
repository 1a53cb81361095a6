"""Which score at which rung tells best what counts: the end of other seeds, and the longer training?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis.evidence.metrics import Metric, goodness, metrics_of, sound_networks, with_shared_seeds
from analysis.evidence.resampling import Array, percentiles, resamples, share_interval, spearman
from analysis.replay.table import RecordedRun, RecordedTable
from search.statistics.pareto import Point, best_order
from search.statistics.verdicts import Interval
from space.prices.macs import price

FEWEST_TO_FORECAST = 10
TOP_SHARES = (0.2, 0.05)
KEPT_SHARES = (0.25, 0.5)
FOLDS = 5

CurvesByMetric = Mapping[str, Array]  # metric -> networks x rungs so far: goodness
TrueEnd = tuple[Array, Array]  # goodness of FID and of CLIP at the end, by network


@dataclass(frozen=True)
class Predicted:
    """How well one forecast at one rung (0: before training) orders the networks as the end does.

    `order` is Spearman's correlation with the true order (None: the forecast is the same for all networks);
    `best` whether no other forecast of the rung has a higher one; `behind` by how much it is below the best,
    over the same resampled networks. `caught` holds, for each true top share and each share that is kept, how
    much of the top is kept.
    """

    name: str
    step: int
    order: Interval | None
    best: bool
    behind: Interval | None
    caught: dict[tuple[float, float], Interval | None]


@dataclass(frozen=True)
class ForecastSetting:
    """What the forecasts of one table were held against, over how many networks; `sound` is the same among
    the sound networks alone (None: too few)."""

    truth: str
    networks: int
    independent: bool
    predicted: tuple[Predicted, ...]
    sound: ForecastSetting | None = None

    def at(self, name: str, step: int) -> Predicted | None:
        return next((each for each in self.predicted if (each.name, each.step) == (name, step)), None)


# ---------------------------------------------------------------------- forecasts


def _mean_rank(curves: CurvesByMetric, *names: str) -> Array:
    ranks: Array = np.mean([rankdata(curves[name][:, -1]) for name in names], axis=0)
    return ranks


def place_order(fid: Array, clip: Array) -> Array:
    """Goodness by the order in which a search names its best (`search.statistics.pareto.best_order`), from
    the goodness of FID and of CLIP."""
    order = best_order([Point.of(float(np.exp(-f)), float(c)) for f, c in zip(fid, clip, strict=True)])
    places = np.empty(len(order))
    places[order] = -np.arange(len(order))
    return places


def _ridge(curves: CurvesByMetric, truth: TrueEnd) -> Array:
    """A ridge regression on every score at every rung so far, of networks that it was not fitted to: FID and
    CLIP, standardised, count alike."""
    features = np.hstack(list(curves.values()))
    found = np.zeros(len(features))
    for fit, held_out in KFold(FOLDS, shuffle=True, random_state=0).split(features):
        wanted = sum((each[fit] - each[fit].mean()) / (each[fit].std() or 1.0) for each in truth)
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11)))
        found[held_out] = model.fit(features[fit], wanted).predict(features[held_out])
    return found


def forecasts(curves: CurvesByMetric, truth: TrueEnd) -> dict[str, Array]:
    """Every forecast at a rung by its name, more is better; the truth is for what must be fitted."""
    found = {name: scores[:, -1] for name, scores in curves.items()}
    if next(iter(curves.values())).shape[1] > 1:
        for name in ("FID", "CLIP"):
            found[f"{name}, improvement since the rung before"] = curves[name][:, -1] - curves[name][:, -2]
    found["FID and CLIP, mean rank"] = _mean_rank(curves, "FID", "CLIP")
    if "validation loss" in curves:
        found["FID, CLIP and validation loss, mean rank"] = _mean_rank(
            curves, "FID", "CLIP", "validation loss"
        )
    found["FID and CLIP, as a search orders"] = place_order(curves["FID"][:, -1], curves["CLIP"][:, -1])
    found["all scores so far, ridge"] = _ridge(curves, truth)
    return found


# ---------------------------------------------------------------------- how well they do


@dataclass(frozen=True)
class Case:
    """Forecasts from one set of runs, and the truth that they are held against."""

    curves: CurvesByMetric  # over all rungs
    truth: TrueEnd


def judged(cases: Sequence[Case], steps: Sequence[int], before: Mapping[str, Array]) -> list[Predicted]:
    """Each forecast at each of these rungs, the first ones, its mean over the cases, which are of the same
    networks; `before` are forecasts that need no training."""
    truths = [place_order(*case.truth) for case in cases]
    found = _of_step(0, [dict(before)] * len(cases), truths)
    for seen, step in enumerate(steps, 1):
        found += _of_step(step, [forecasts(_seen(case.curves, seen), case.truth) for case in cases], truths)
    return found


def _of_step(step: int, by_case: Sequence[Mapping[str, Array]], truths: Sequence[Array]) -> list[Predicted]:
    networks = len(truths[0])
    places = np.vstack([np.arange(networks)[None], resamples(networks)])  # first the networks as they are
    correlations = {
        name: np.mean(
            [
                spearman(np.stack([found[name], truth], axis=1)[places])
                for found, truth in zip(by_case, truths, strict=True)
            ],
            axis=0,
        )
        for name in (by_case[0] if by_case else ())
    }
    if not correlations:
        return []
    best = max(correlations, key=lambda name: np.nan_to_num(correlations[name][0], nan=-2.0))
    return [
        Predicted(
            name,
            step,
            percentiles(float(sampled[0]), sampled[1:]),
            name == best,
            _difference(correlations[best] - sampled),
            {
                (top, kept): _caught([found[name] for found in by_case], truths, top, kept)
                for top in TOP_SHARES
                for kept in KEPT_SHARES
            },
        )
        for name, sampled in correlations.items()
    ]


def _difference(sampled: Array) -> Interval | None:
    return percentiles(float(sampled[0]), sampled[1:])


def _caught(found: Sequence[Array], truths: Sequence[Array], top: float, kept: float) -> Interval | None:
    """How much of the true top share is among the share with the best forecasts; ties as they come."""
    networks = len(truths[0])
    best, keeping = max(1, ceil(top * networks)), ceil(kept * networks)
    caught = [
        len(set(np.argsort(-truth, kind="stable")[:best]) & set(np.argsort(-each, kind="stable")[:keeping]))
        for each, truth in zip(found, truths, strict=True)
    ]
    return share_interval(float(np.mean(caught)), best)


# ---------------------------------------------------------------------- against which truth


def forecast_settings(
    table: RecordedTable, spread: frozenset[str], long: RecordedTable | None
) -> list[ForecastSetting]:
    """Held against the mean of other seeds, against the longer training, and over all space-filling networks
    against their own end; those that were recorded for enough networks, each also among the sound ones."""
    sound = {each.truth: each for each in _among(sound_networks(table), table, spread, long)}
    everything = table.runs.keys() | (long.runs.keys() if long else set())
    return [replace(each, sound=sound.get(each.truth)) for each in _among(everything, table, spread, long)]


def _among(
    among: Collection[str], table: RecordedTable, spread: frozenset[str], long: RecordedTable | None
) -> list[ForecastSetting]:
    spread = frozenset(key for key in spread if key in among)
    metrics = metrics_of(table)
    end = goodness(table, metrics[0], table.rungs[-1], spread)
    keys, seeds = with_shared_seeds(end)
    found = []
    if len(keys) >= FEWEST_TO_FORECAST:
        cases = [
            _case(table, metrics, keys, seed, [each for each in seeds if each != seed]) for seed in seeds
        ]
        found.append(
            _setting(
                table, f"the mean of {_seeds(len(seeds) - 1)} at the end", keys, cases, table.rungs, True
            )
        )
    if long is not None:
        both = [key for key in long.runs if key in table.runs and key in among]
        if len(both) >= FEWEST_TO_FORECAST:
            found.append(_against_long(table, long, metrics, both))
    if len(end) >= FEWEST_TO_FORECAST:
        keys = list(end)
        case = Case(_curves(table, metrics, keys, None), _truth(table, keys, None))
        found.append(_setting(table, "the end of the same run", keys, [case], table.rungs[:-1], False))
    return found


def _seeds(number: int) -> str:
    return "another seed" if number == 1 else f"{number} other seeds"


def _setting(
    table: RecordedTable,
    truth: str,
    keys: Sequence[str],
    cases: Sequence[Case],
    steps: Sequence[int],
    other: bool,
) -> ForecastSetting:
    networks = [table.runs[key][0].architecture for key in keys]
    costs = [price(network) for network in networks]
    before = {
        "parameters, more is better": np.array([float(cost.parameters) for cost in costs]),
        "GMACs, more is better": np.array([cost.gmacs for cost in costs]),
    }
    return ForecastSetting(truth, len(keys), other, tuple(judged(cases, steps, before)))


def _case(
    table: RecordedTable, metrics: Sequence[Metric], keys: Sequence[str], seed: int, others: Sequence[int]
) -> Case:
    return Case(_curves(table, metrics, keys, seed), _truth(table, keys, others))


def _against_long(
    table: RecordedTable, long: RecordedTable, metrics: Sequence[Metric], keys: Sequence[str]
) -> ForecastSetting:
    """With seeds that the longer runs did not have, where all networks have some."""
    seeds = set.intersection(*({run.seed for run in table.runs[key]} for key in keys))
    others = sorted(seeds - {run.seed for key in keys for run in long.runs[key]})
    truth = _truth(long, keys, None)
    chosen: Sequence[int | None] = others or [None]
    cases = [Case(_curves(table, metrics, keys, seed), truth) for seed in chosen]
    return _setting(table, f"the end of {long.rungs[-1]} steps", keys, cases, table.rungs, bool(others))


def _curves(
    table: RecordedTable, metrics: Sequence[Metric], keys: Sequence[str], seed: int | None
) -> CurvesByMetric:
    """Of these networks' runs with a seed (None: the first seed of each)."""
    runs = [_run(table.runs[key], seed) for key in keys]
    return {
        metric.name: np.array(
            [[metric.goodness(rung.scores[metric.score]) for rung in run.rungs] for run in runs]
        )
        for metric in metrics
    }


def _seen(curves: CurvesByMetric, rungs: int) -> CurvesByMetric:
    return {name: scores[:, :rungs] for name, scores in curves.items()}


def _truth(table: RecordedTable, keys: Sequence[str], seeds: Sequence[int] | None) -> TrueEnd:
    """Means over these seeds (None: the first seed of each) at the last rung: of FID's logarithm, of CLIP."""
    metrics = metrics_of(table)[:2]
    fid, clip = (
        np.mean(
            [
                [metric.goodness(_run(table.runs[key], seed).rungs[-1].scores[metric.score]) for key in keys]
                for seed in (seeds if seeds is not None else [None])
            ],
            axis=0,
        )
        for metric in metrics
    )
    return fid, clip


def _run(runs: Sequence[RecordedRun], seed: int | None) -> RecordedRun:
    if seed is None:
        return min(runs, key=lambda run: run.seed)
    return next(run for run in runs if run.seed == seed)

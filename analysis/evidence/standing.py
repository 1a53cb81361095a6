"""Where do MD and MD-Lite rank under their budgets?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from analysis.evidence.metrics import goodness, metrics_of, repeated
from analysis.evidence.prediction import place_order
from analysis.evidence.resampling import ERROR_RATE, Array
from analysis.evidence.text import Chapter, markdown, missing
from analysis.replay.table import RecordedTable
from search.formats import label, share
from search.statistics.verdicts import Interval
from space.architecture import Architecture
from space.budget import Budget

_TITLE = "Where MD and MD-Lite rank"
_FEWEST_NETWORKS = 10
NOISE_SAMPLES = 1000
BOTH = "both, as a search orders"
ORDERS = ("FID", "CLIP", BOTH)


@dataclass(frozen=True)
class RankAmong:
    """A network's place (1: the best) at a step among other networks of its budget, by order: as observed,
    and between which places noise leaves it."""

    name: str
    step: int
    among: int
    seeds: int
    places: dict[str, Interval]
    fid: float
    clip: float


# ---------------------------------------------------------------------- places


def standing(
    table: RecordedTable, spread: Collection[str], name: str, network: Architecture, budget: Budget
) -> RankAmong | None:
    """At the last rung, among the space-filling networks. None where the network was not recorded, too few
    others fit its budget, or nobody knows the noise."""
    return _standing(table, spread, table.rungs[-1], name, network, budget, noise_covariance(table))


def standings_of_longer(
    long: RecordedTable, table: RecordedTable, name: str, network: Architecture, budget: Budget
) -> list[RankAmong]:
    """At every rung of the longer training, among the networks that were trained so long; by the noise of the
    table, for longer training is seldom repeated."""
    noise = noise_covariance(table)
    found = (_standing(long, long.runs, step, name, network, budget, noise) for step in long.rungs)
    return [each for each in found if each is not None]


def _standing(
    table: RecordedTable,
    spread: Collection[str],
    step: int,
    name: str,
    network: Architecture,
    budget: Budget,
    noise: Array | None,
) -> RankAmong | None:
    if network.id not in table.runs or noise is None:
        return None
    others = [
        key
        for key in table.runs
        if key in spread and key != network.id and not budget.excess(table.runs[key][0].architecture)
    ]
    if len(others) < _FEWEST_NETWORKS:
        return None
    keys = [network.id, *others]
    fid, clip = (goodness(table, metric, step, keys) for metric in metrics_of(table)[:2])
    means = np.array([[fmean(fid[key].values()), fmean(clip[key].values())] for key in keys])
    seeds = np.array([len(fid[key]) for key in keys])
    sampled = truths(means, seeds, noise)
    places = {order: _place(means, sampled, order) for order in ORDERS}
    return RankAmong(
        name, step, len(keys), int(seeds[0]), places, float(np.exp(-means[0, 0])), float(means[0, 1])
    )


def noise_covariance(table: RecordedTable) -> Array | None:
    """Of one run's goodness of FID and of CLIP: pooled over networks with several seeds; without any, the
    stated noise, as if independent; None where none was measured under this protocol."""
    fid, clip = (repeated(goodness(table, m, table.rungs[-1])) for m in metrics_of(table)[:2])
    products, freedom = np.zeros((2, 2)), 0
    for key in fid:
        runs = np.array([[fid[key][seed], clip[key][seed]] for seed in fid[key]])
        runs -= runs.mean(axis=0)
        products, freedom = products + runs.T @ runs, freedom + len(runs) - 1
    if freedom >= 2:
        return np.asarray(products / freedom)
    stated = table.noise.at(table.rungs[-1]).deviations(table.objectives[:2])
    known = [deviation for deviation in stated if deviation is not None]
    return np.diag(np.square(known)) if len(known) == len(stated) else None


def truths(means: Array, seeds: Any, noise: Array) -> Array:
    """What the true scores may be: samples x networks x 2. Each network's posterior, all from one normal
    distribution whose covariance is what the observed one leaves beyond noise (empirical Bayes)."""
    observed = np.cov(means.T)
    values, vectors = np.linalg.eigh(observed - noise * float(np.mean(1 / seeds)))
    between = vectors @ np.diag(np.clip(values, 1e-9 * observed.trace(), None)) @ vectors.T
    centre = means.mean(axis=0)
    chance = np.random.default_rng(0)
    found = np.empty((NOISE_SAMPLES, *means.shape))
    for place, (mean, count) in enumerate(zip(means, seeds, strict=True)):
        gain = between @ np.linalg.inv(between + noise / count)
        covariance = between - gain @ between
        found[:, place] = chance.multivariate_normal(
            centre + gain @ (mean - centre),
            (covariance + covariance.T) / 2,
            NOISE_SAMPLES,
            check_valid="ignore",
        )
    return found


def _place(means: Array, sampled: Array, order: str) -> Interval:
    """Of the first network."""
    observed = _places(means[None], order)[0]
    low, high = np.quantile(_places(sampled, order), [ERROR_RATE / 2, 1 - ERROR_RATE / 2], method="nearest")
    return Interval(float(observed), float(low), float(high))


def _places(sampled: Array, order: str) -> Array:
    if order == "FID" or order == "CLIP":
        column = sampled[:, :, ORDERS.index(order)]
    else:
        column = np.array([place_order(each[:, 0], each[:, 1]) for each in sampled])
    return np.asarray(1 + (column > column[:, :1]).sum(axis=1))


# ---------------------------------------------------------------------- in words


def standing_chapter(found: Sequence[RankAmong], longer: Sequence[RankAmong], plot: str) -> Chapter:
    if not found:
        what = f"MD or MD-Lite among {_FEWEST_NETWORKS} space-filling networks of its budget (run `table`)"
        return missing(_TITLE, what)
    parts = [_intro(), markdown([_standing_row(each) for each in found]), plot]
    if longer:
        parts += [_longer_intro(), markdown([_standing_row(each) for each in longer])]
    return Chapter(_TITLE, tuple(parts), (*_findings(found), *_longer_findings(longer)))


def _intro() -> str:
    return (
        "Places among the space-filling networks of the same budget (none that was made for a pair), 1 the "
        "best, by the mean over seeds at the last rung; proxy scores, which are no scores of the paper. In "
        "brackets between which places 95 % of the samples of what noise leaves possible lie: the true "
        "scores of all networks, MD among them, from their posterior (empirical Bayes, normal, the "
        "noise of the repeats, or as the runs state it)."
    )


def _longer_intro() -> str:
    return (
        "The same as training goes on: places among those networks that were trained longer and fit the "
        "budget, one run each, by the noise that the repeats of the table showed at its last rung."
    )


def _standing_row(each: RankAmong) -> dict[str, str]:
    places = {
        order: f"{found.middle:.0f} ({found.low:.0f} to {found.high:.0f})"
        for order, found in each.places.items()
    }
    scores = {"FID": f"{each.fid:,.0f}", "CLIP": f"{each.clip:.3f}"}
    return {
        "network": label(each.name),
        "step": str(each.step),
        "seeds": str(each.seeds),
        "its FID": scores["FID"],
        "its CLIP": scores["CLIP"],
        "among": str(each.among),
    } | {f"place by {order}": text for order, text in places.items()}


def _findings(found: Sequence[RankAmong]) -> list[str]:
    lines = []
    for each in found:
        place = each.places[BOTH]
        lines.append(
            f"{label(each.name)} is number {place.middle:.0f} of {each.among} networks of its budget as a "
            f"search orders them; noise leaves it anywhere between {place.low:.0f} and {place.high:.0f} (the "
            f"best {share(place.low / each.among)} to {share(place.high / each.among)})."
        )
    return lines


def _longer_findings(longer: Sequence[RankAmong]) -> list[str]:
    lines = []
    for name in dict.fromkeys(each.name for each in longer):
        steps = [each for each in longer if each.name == name]
        first, last = steps[0], steps[-1]
        before, after = first.places[BOTH], last.places[BOTH]
        lines.append(
            f"Among the {last.among} networks of its budget that were trained to step {last.step}, "
            f"{label(name)} is number {before.middle:.0f} ({before.low:.0f} to {before.high:.0f}) at step "
            f"{first.step} and number {after.middle:.0f} ({after.low:.0f} to {after.high:.0f}) at the end."
        )
    return lines

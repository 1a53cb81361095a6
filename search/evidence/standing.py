"""Where do MD and MD-Lite rank under their budgets, and which properties go with a good score?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from search.confirming.verdicts import Interval
from search.evidence.metrics import ByNetwork, goodness, metrics_of, repeated
from search.evidence.prediction import place_order
from search.evidence.resampling import LEVEL, Array, holm, interval, spearman
from search.evidence.text import Section, listed, markdown, missing, with_interval
from search.formats import label, share
from search.replay.table import Table
from space.architecture import Architecture
from space.choices import Space
from space.cost import Budget, price

TITLE = "Where MD and MD-Lite rank"
FEWEST_NETWORKS = 10
DRAWS = 1000
ORDERS = ("FID", "CLIP", "both, as a search orders")


@dataclass(frozen=True)
class Standing:
    """A network's place (1: the best) among the space-filling networks of its budget, by order: as observed,
    and between which places noise leaves it."""

    name: str
    among: int
    seeds: int
    places: dict[str, Interval]
    fid: float
    clip: float


@dataclass(frozen=True)
class Property:
    """Rank correlation of a property of networks with the goodness of each score, over those that it acts on;
    `counts` where it stands with all that were looked at counted (Holm)."""

    name: str
    networks: int
    fid: Interval
    clip: Interval
    fid_counts: bool
    clip_counts: bool


# ---------------------------------------------------------------------- places


def standing(
    table: Table, spread: Collection[str], name: str, network: Architecture, budget: Budget
) -> Standing | None:
    """None where the network was not recorded, or too few others fit its budget."""
    if network.id not in table.runs:
        return None
    others = [
        key
        for key in table.runs
        if key in spread and key != network.id and not budget.excess(price(table.runs[key][0].architecture))
    ]
    if len(others) < FEWEST_NETWORKS:
        return None
    keys = [network.id, *others]
    fid, clip = (goodness(table, metric, table.rungs[-1], keys) for metric in metrics_of(table)[:2])
    means = np.array([[fmean(fid[key].values()), fmean(clip[key].values())] for key in keys])
    seeds = np.array([len(fid[key]) for key in keys])
    sampled = truths(means, seeds, noise_covariance(table))
    places = {order: _place(means, sampled, order) for order in ORDERS}
    last = [run.rungs[-1].scores for run in table.runs[network.id]]
    return Standing(
        name,
        len(keys),
        int(seeds[0]),
        places,
        float(np.exp(-means[0, 0])),
        fmean(scores[table.objectives.clip] for scores in last),
    )


def noise_covariance(table: Table) -> Array:
    """Of one run's goodness of FID and of CLIP: pooled over networks with several seeds; without any, the
    stated noise, as if independent."""
    fid, clip = (repeated(goodness(table, m, table.rungs[-1])) for m in metrics_of(table)[:2])
    products, freedom = np.zeros((2, 2)), 0
    for key in fid:
        runs = np.array([[fid[key][seed], clip[key][seed]] for seed in fid[key]])
        runs -= runs.mean(axis=0)
        products, freedom = products + runs.T @ runs, freedom + len(runs) - 1
    if freedom >= 2:
        return np.asarray(products / freedom)
    at = table.noise.at(table.rungs[-1])
    return np.diag([at.fid_relative**2, at.clip**2])


def truths(means: Array, seeds: Any, noise: Array) -> Array:
    """What the true scores may be: draws x networks x 2. Each network's posterior, all drawn from one normal
    distribution whose covariance is what the observed one leaves beyond noise (empirical Bayes)."""
    observed = np.cov(means.T)
    values, vectors = np.linalg.eigh(observed - noise * float(np.mean(1 / seeds)))
    between = vectors @ np.diag(np.clip(values, 1e-9 * observed.trace(), None)) @ vectors.T
    centre = means.mean(axis=0)
    chance = np.random.default_rng(0)
    found = np.empty((DRAWS, *means.shape))
    for place, (mean, count) in enumerate(zip(means, seeds, strict=True)):
        gain = between @ np.linalg.inv(between + noise / count)
        covariance = between - gain @ between
        found[:, place] = chance.multivariate_normal(
            centre + gain @ (mean - centre), (covariance + covariance.T) / 2, DRAWS, check_valid="ignore"
        )
    return found


def _place(means: Array, sampled: Array, order: str) -> Interval:
    """Of the first network."""
    observed = _places(means[None], order)[0]
    low, high = np.quantile(_places(sampled, order), [LEVEL / 2, 1 - LEVEL / 2], method="nearest")
    return Interval(float(observed), float(low), float(high))


def _places(sampled: Array, order: str) -> Array:
    if order == "FID" or order == "CLIP":
        column = sampled[:, :, ORDERS.index(order)]
    else:
        column = np.array([place_order(each[:, 0], each[:, 1]) for each in sampled])
    return np.asarray(1 + (column > column[:, :1]).sum(axis=1))


# ---------------------------------------------------------------------- properties


def properties(table: Table, spread: Collection[str]) -> list[Property]:
    """Costs, depth and every choice that was drawn, over the space-filling networks; the strongest first."""
    fid, clip = (goodness(table, m, table.rungs[-1], spread) for m in metrics_of(table)[:2])
    if len(fid) < FEWEST_NETWORKS:
        return []
    described = {key: _described(table.runs[key][0].architecture, table.space) for key in fid}
    names = list(dict.fromkeys(name for each in described.values() for name in each))
    rows = {name: _rows(name, described, fid, clip) for name in names}
    usable = {
        name: found for name, found in rows.items() if len(found) >= FEWEST_NETWORKS and np.ptp(found[:, 0])
    }
    p_values = [spearmanr(found[:, 0], found[:, at]).pvalue for found in usable.values() for at in (1, 2)]
    counts = [p <= LEVEL for p in holm([float(p) for p in p_values])]
    properties = []
    for place, (name, found) in enumerate(usable.items()):
        of_fid = interval(found, lambda samples: spearman(samples, 0, 1))
        of_clip = interval(found, lambda samples: spearman(samples, 0, 2))
        if of_fid is not None and of_clip is not None:
            properties.append(
                Property(name, len(found), of_fid, of_clip, counts[2 * place], counts[2 * place + 1])
            )
    return sorted(properties, key=lambda each: -abs(each.fid.middle) - abs(each.clip.middle))


def _rows(name: str, described: Mapping[str, Mapping[str, float]], fid: ByNetwork, clip: ByNetwork) -> Array:
    return np.array(
        [
            [described[key][name], fmean(fid[key].values()), fmean(clip[key].values())]
            for key in fid
            if name in described[key]
        ]
    )


def _described(network: Architecture, space: Space) -> dict[str, float]:
    """Numbers of a network by name; choices that nothing acts on in it are left out."""
    cost = price(network)
    found = {
        "parameters": float(cost.parameters),
        "GMACs": cost.gmacs,
        "transformer layers": float(sum(level.layers for level in network.levels)),
        "levels with cross-attention": float(sum(level.cross_attention for level in network.levels)),
    }
    chosen, ignored, values = space.encode(network), space.ignored(network), space.free()
    return found | {
        _question(name, values[name]): float(values[name].index(value))
        for name, value in chosen.items()
        if name not in ignored
    }


def _question(name: str, values: Sequence[Any]) -> str:
    """What a larger value of a choice means."""
    words = name.replace("_", " ").replace(".", " ")
    if all(isinstance(value, bool) for value in values):
        return f"{words}: yes" if values[-1] else f"{words}: no"
    return words if all(isinstance(value, int) for value in values) else f"{words}: {values[-1]}"


# ---------------------------------------------------------------------- in words


def section(found: Sequence[Standing], properties: Sequence[Property], picture: str) -> Section:
    if not properties:
        return missing(TITLE, f"{FEWEST_NETWORKS} space-filling networks of full length (run `table`)")
    parts = [_intro()]
    if found:
        parts.append(markdown([_standing_row(each) for each in found]))
    else:
        parts.append("Not recorded yet: MD or MD-Lite, among enough networks of their budgets (run `table`).")
    parts += [picture, _intro_of_properties(), markdown([_property_row(each) for each in properties])]
    return Section(TITLE, tuple(parts), tuple(_findings(found, properties)))


def _intro() -> str:
    return (
        "Places among the space-filling networks of the same budget (none that was made for a pair), 1 the "
        "best, by the mean over seeds at the last rung; proxy scores, which are no scores of the paper. In "
        "brackets between which places 95 % of the draws from what noise leaves possible lie: the true "
        "scores of all networks, MD among them, drawn from their posterior (empirical Bayes, normal, the "
        "noise of the repeats, or as the runs state it)."
    )


def _standing_row(each: Standing) -> dict[str, str]:
    places = {
        order: f"{found.middle:.0f} ({found.low:.0f} to {found.high:.0f})"
        for order, found in each.places.items()
    }
    scores = {"FID": f"{each.fid:,.0f}", "CLIP": f"{each.clip:.3f}"}
    return {
        "network": label(each.name),
        "seeds": str(each.seeds),
        "its FID": scores["FID"],
        "its CLIP": scores["CLIP"],
        "among": str(each.among),
    } | {f"place by {order}": text for order, text in places.items()}


def _intro_of_properties() -> str:
    return (
        "Which properties go with a good score, over the space-filling networks: Spearman's correlation "
        "with how good FID and CLIP are (above zero: more of it is better), 95 % bootstrap over networks, "
        "each interval for itself; a star where it stands with all properties counted (Holm, 5 %). Choices "
        "that nothing acts on in a network are left out of its count. Networks over the budget were never "
        "trained, so properties that cost much are not independent of each other: this says what goes "
        "together, not what causes what."
    )


def _property_row(each: Property) -> dict[str, str]:
    return {
        "more of": each.name,
        "networks": str(each.networks),
        "FID": with_interval(each.fid) + (" *" if each.fid_counts else ""),
        "CLIP": with_interval(each.clip) + (" *" if each.clip_counts else ""),
    }


def _findings(found: Sequence[Standing], properties: Sequence[Property]) -> list[str]:
    lines = []
    for each in found:
        place = each.places[ORDERS[2]]
        lines.append(
            f"{label(each.name)} is number {place.middle:.0f} of {each.among} networks of its budget as a "
            f"search orders them; noise leaves it anywhere between {place.low:.0f} and {place.high:.0f} (the "
            f"best {share(place.low / each.among)} to {share(place.high / each.among)})."
        )
    standing = [each for each in properties if each.fid_counts and each.clip_counts]
    if standing:
        words = [f"{each.name} ({with_interval(each.clip)} with CLIP)" for each in standing[:5]]
        lines.append(f"What goes with a good score beyond chance, in FID and in CLIP: {listed(words)}.")
    else:
        lines.append("No single property goes with FID and CLIP beyond chance, with all of them counted.")
    return lines

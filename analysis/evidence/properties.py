"""Which properties of a network go with a good score?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from analysis.evidence.metrics import SOUND, ByNetwork, goodness, metrics_of
from analysis.evidence.resampling import ERROR_RATE, Array, bootstrap_interval, holm, spearman
from analysis.evidence.text import Chapter, decimal, listed, markdown, missing, with_interval
from analysis.replay.table import RecordedTable
from search.statistics.verdicts import Interval
from space.architecture import Architecture
from space.choices import Space
from space.prices.macs import price

_TITLE = "What goes with a good score"
_FEWEST_NETWORKS = 10
PROPERTIES_NAMED = 5


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


def property_ranks(table: RecordedTable, spread: Collection[str]) -> list[Property]:
    """Costs, depth and every choice, over the space-filling networks; the strongest first."""
    fid, clip = (goodness(table, m, table.rungs[-1], spread) for m in metrics_of(table)[:2])
    if len(fid) < _FEWEST_NETWORKS:
        return []
    described = {key: _described(table.runs[key][0].architecture, table.space) for key in fid}
    names = list(dict.fromkeys(name for each in described.values() for name in each))
    rows = {name: _rows(name, described, fid, clip) for name in names}
    usable = {
        name: found for name, found in rows.items() if len(found) >= _FEWEST_NETWORKS and np.ptp(found[:, 0])
    }
    p_values = [spearmanr(found[:, 0], found[:, at]).pvalue for found in usable.values() for at in (1, 2)]
    counts = [p <= ERROR_RATE for p in holm([float(p) for p in p_values])]
    property_ranks = []
    for place, (name, found) in enumerate(usable.items()):
        of_fid = bootstrap_interval(found, lambda samples: spearman(samples, 0, 1))
        of_clip = bootstrap_interval(found, lambda samples: spearman(samples, 0, 2))
        if of_fid is not None and of_clip is not None:
            property_ranks.append(
                Property(name, len(found), of_fid, of_clip, counts[2 * place], counts[2 * place + 1])
            )
    return sorted(property_ranks, key=lambda each: -abs(each.fid.middle) - abs(each.clip.middle))


def most_alike(table: RecordedTable, spread: Collection[str]) -> tuple[str, str, float] | None:
    """The two choices whose values go together most among these networks, where both act, and their rank
    correlation."""
    described = [
        _choices(table.runs[key][0].architecture, table.space) for key in table.runs if key in spread
    ]
    found = []
    for one, other in combinations(table.space.free(), 2):
        both = np.array([[each[one], each[other]] for each in described if one in each and other in each])
        if len(both) >= _FEWEST_NETWORKS and np.ptp(both, axis=0).all():
            found.append((one, other, float(spearman(both[None])[0])))
    return max(found, key=lambda each: abs(each[2]), default=None)


def _rows(name: str, described: Mapping[str, Mapping[str, float]], fid: ByNetwork, clip: ByNetwork) -> Array:
    return np.array(
        [
            [described[key][name], fmean(fid[key].values()), fmean(clip[key].values())]
            for key in fid
            if name in described[key]
        ]
    )


def _described(network: Architecture, space: Space) -> dict[str, float]:
    """Numbers of a network by name; inactive parameters are left out."""
    cost = price(network)
    found = {
        "parameters": float(cost.parameters),
        "GMACs": cost.gmacs,
        "transformer layers": float(sum(level.layers for level in network.levels)),
        "levels with cross-attention": float(sum(level.cross_attention for level in network.levels)),
    }
    values = space.free()
    return found | {_question(name, values[name]): at for name, at in _choices(network, space).items()}


def _choices(network: Architecture, space: Space) -> dict[str, float]:
    """The place of each choice among its values; inactive ones are left out."""
    values, ignored = space.free(), space.ignored(network)
    return {
        name: float(values[name].index(value))
        for name, value in space.encode(network).items()
        if name not in ignored
    }


def _question(name: str, values: Sequence[Any]) -> str:
    """What a larger value of a choice means."""
    words = name.replace("_", " ").replace(".", " ")
    if all(isinstance(value, bool) for value in values):
        return f"{words}: yes" if values[-1] else f"{words}: no"
    return words if all(isinstance(value, int) for value in values) else f"{words}: {values[-1]}"


# ---------------------------------------------------------------------- in words


def properties_chapter(
    found: Sequence[Property],
    sound: Sequence[Property],
    alike: tuple[str, str, float] | None,
    plot: str,
) -> Chapter:
    """`sound` are the properties of the sound networks alone."""
    if not found:
        return missing(_TITLE, f"{_FEWEST_NETWORKS} space-filling networks of full length (run `table`)")
    by_name = {each.name: each for each in sound}
    parts = [_intro(), markdown([_row(each) | _sound_columns(by_name.get(each.name)) for each in found])]
    if alike is not None:
        one, other, correlation = alike
        parts.append(
            f"The two choices that these networks tell apart least are {one} and {other} (rank correlation "
            f"{decimal(correlation)}): what goes with one of them goes with the other."
        )
    return Chapter(_TITLE, (*parts, plot), (_finding(found), _sound_finding(sound)))


def _intro() -> str:
    return (
        "Over the space-filling networks: Spearman's correlation of each property with how good FID and "
        "CLIP are (above zero: more of it is better), 95 % bootstrap over networks, each interval for "
        "itself; a star where it stands with all properties counted (Holm, 5 %). Inactive parameters "
        "of a network are left out of its count. Networks over the budget were never trained, so "
        "properties that cost much are not independent of each other: this says what goes together, not "
        f"what causes what. On the right the same among networks that are {SOUND}."
    )


def _row(each: Property) -> dict[str, str]:
    return {
        "more of": each.name,
        "networks": str(each.networks),
        "FID": with_interval(each.fid) + (" *" if each.fid_counts else ""),
        "CLIP": with_interval(each.clip) + (" *" if each.clip_counts else ""),
    }


def _sound_columns(each: Property | None) -> dict[str, str]:
    if each is None:
        return {"sound": "-", "FID among sound": "-", "CLIP among sound": "-"}
    own = _row(each)
    return {"sound": own["networks"], "FID among sound": own["FID"], "CLIP among sound": own["CLIP"]}


def _finding(found: Sequence[Property]) -> str:
    both = [each for each in found if each.fid_counts and each.clip_counts]
    if not both:
        return "No single property goes with FID and CLIP beyond chance, with all of them counted."
    words = [f"{each.name} ({with_interval(each.clip)} with CLIP)" for each in both[:PROPERTIES_NAMED]]
    return f"What goes with a good score beyond chance, in FID and in CLIP: {listed(words)}."


def _sound_finding(sound: Sequence[Property]) -> str:
    """Of the sound networks, by either score."""
    if not sound:
        return f"Too few networks are {SOUND} to say what goes with a good score among them."
    words = [
        f"{each.name} ({with_interval(own)} with {name})"
        for each in sound
        for name, own, counts in (("FID", each.fid, each.fid_counts), ("CLIP", each.clip, each.clip_counts))
        if counts
    ]
    among = f"Among networks that are {SOUND}"
    if not words:
        return f"{among} no single property goes with FID or CLIP beyond chance, with all of them counted."
    return f"{among} beyond chance, with all counted: {listed(words[:PROPERTIES_NAMED])}."

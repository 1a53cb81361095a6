"""How large is noise? By metric and rung, from networks that were trained with several seeds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pvariance

import numpy as np
from scipy.special import fdtri

from analysis.evidence.metrics import (
    SOUND,
    ByNetwork,
    Metric,
    goodness,
    metrics_of,
    repeated,
    sound_networks,
    with_shared_seeds,
)
from analysis.evidence.noise_levels import deviation_text as _deviation
from analysis.evidence.noise_levels import elsewhere_parts, levels_finding, levels_parts, noise_levels
from analysis.evidence.resampling import ERROR_RATE
from analysis.evidence.sources import RecordedEvidence
from analysis.evidence.text import Chapter, markdown, missing, share_with_interval
from analysis.replay.table import RecordedTable
from search.statistics.noise import Noise
from search.statistics.variance import UNKNOWN, Variance, variance_within, within_paired
from search.statistics.verdicts import Interval

_TITLE = "Noise"
_FEWEST_NETWORKS = 3


@dataclass(frozen=True)
class MetricNoise:
    """Of one metric at one rung. `seeds` is the variance of a run from seed to seed, `paired` what is left of
    it when a seed's effect on all networks alike is taken out, `better_half` that of the networks whose mean
    is in the better half. `kept` is the share of a difference's variance that common seeds leave (1: they do
    not help). `spread` is the deviation between true scores of networks of the space. `sound` is the same of
    the sound networks alone (None: too few)."""

    metric: Metric
    step: int
    networks: int
    seeds: Variance
    paired: Variance
    better_half: Variance
    kept: Interval | None
    spread: float | None
    sound: MetricNoise | None = None

    @property
    def reliability(self) -> float | None:
        """The share of the variance between single runs that is not noise: what one run is worth."""
        if self.spread is None or not self.spread + self.seeds.value:
            return None
        return self.spread**2 / (self.spread**2 + self.seeds.value)


def noise_by_rung(table: RecordedTable, spread: Collection[str]) -> list[MetricNoise]:
    """Of every metric at every rung, of all networks and of the sound ones; empty where too few have two
    seeds. `spread` are the networks that the space's own spread is taken from."""
    of_all, of_sound = (_noise_among(among, table, spread) for among in (table.runs, sound_networks(table)))
    if not of_sound:
        return of_all
    return [replace(each, sound=sound) for each, sound in zip(of_all, of_sound, strict=True)]


def _noise_among(among: Collection[str], table: RecordedTable, spread: Collection[str]) -> list[MetricNoise]:
    found = []
    for metric in metrics_of(table):
        for step in table.rungs:
            values = goodness(table, metric, step, among)
            twice = repeated(values)
            if len(twice) < _FEWEST_NETWORKS:
                return []
            seeds = variance_within([list(by_seed.values()) for by_seed in twice.values()])
            firsts = [by_seed[min(by_seed)] for key, by_seed in values.items() if key in spread]
            found.append(
                MetricNoise(
                    metric,
                    step,
                    len(twice),
                    seeds,
                    within_paired(twice),
                    _of_better_half(twice),
                    variance_share_of_common_seeds(twice),
                    max(0.0, pvariance(firsts) - seeds.value) ** 0.5 if len(firsts) > 1 else None,
                )
            )
    return found


def variance_share_of_common_seeds(values: ByNetwork) -> Interval | None:
    """The variance of a difference of two networks with one seed, over that with two seeds, from networks
    that have the same seeds.

    With a level of its own for each network, each seed's common effect at random and the rest of each
    run, it is one less the intraclass correlation of the seeds; its interval is exact for normal scores
    (Shrout and Fleiss, 1979), and wide for few seeds, however many the networks.
    """
    keys, shared = with_shared_seeds(values)
    if len(keys) < _FEWEST_NETWORKS:
        return None
    scores = np.array([[values[key][seed] for seed in shared] for key in keys])
    networks, seeds = scores.shape
    left = scores - scores.mean(axis=1, keepdims=True)
    common = left.mean(axis=0)
    between = networks * float((common**2).sum()) / (seeds - 1)
    freedom = (networks - 1) * (seeds - 1)
    within_seeds = float(((left - common) ** 2).sum()) / freedom
    if not within_seeds:
        return None
    ratio = between / within_seeds
    reach = (
        float(fdtri(seeds - 1, freedom, 1 - ERROR_RATE / 2)),
        float(fdtri(freedom, seeds - 1, 1 - ERROR_RATE / 2)),
    )
    kept = [networks / (max(f, 1.0) - 1 + networks) for f in (ratio, ratio * reach[1], ratio / reach[0])]
    return Interval(*kept)


def noise_at(
    found: Sequence[MetricNoise], metric: Metric, step: int, stated: Noise, *, paired: bool = False
) -> Variance:
    """As the repeats show it; where there are none, as the records state it, if it was measured here."""
    for each in found:
        if (each.metric, each.step) == (metric, step):
            return each.paired if paired else each.seeds
    deviation = stated.at(step).deviation(metric.objective)
    return UNKNOWN if deviation is None else Variance(deviation**2, stated.degrees_of_freedom)


def _of_better_half(values: ByNetwork) -> Variance:
    means = {key: fmean(by_seed.values()) for key, by_seed in values.items()}
    best = sorted(means, key=lambda key: -means[key])[: (len(means) + 1) // 2]
    return variance_within([list(values[key].values()) for key in best])


# ---------------------------------------------------------------------- in words


def noise_chapter(evidence: RecordedEvidence, found: Sequence[MetricNoise]) -> Chapter:
    table = evidence.table
    if table is None or not found:
        return missing(_TITLE, "the networks of the table trained again under other seeds (runs `seeds-*`)")
    rows = [
        {
            "metric": each.metric.name,
            "step": str(each.step),
            "one run": _deviation(each.metric, each.seeds),
            "better half": _deviation(each.metric, each.better_half),
            "paired": _deviation(each.metric, each.paired),
            "kept by common seeds": share_with_interval(each.kept),
            "between networks": "-" if each.spread is None else each.metric.deviation(each.spread),
            "not noise": _share(each.reliability),
        }
        | ({} if each.sound is None else _sound_columns(each.sound))
        for each in found
    ]
    first = found[0]
    intro = (
        f"Standard deviations of one run from seed to seed, pooled over {first.networks} networks with "
        f"{first.seeds.degrees_of_freedom:g} runs beyond the first of each, in brackets the 95 % interval by "
        "the chi-square distribution. FIDs and the loss by their logarithm, so as shares of them. *Better "
        "half*: of the networks with the better means; *paired*: with a seed's effect on all networks alike "
        "taken out. *Kept by common seeds*: the variance of a difference between two networks trained with "
        "one seed, as a share of that with two (exact interval, over seeds as well as networks). *Between "
        "networks*: the deviation of the true scores over the space-filling networks, and *not noise* its "
        f"share of the variance between single runs. *Sound*: of networks that are {SOUND}."
    )
    levels = noise_levels(table)
    others = {
        "longer training": evidence.long,
        "the bigger proxy": evidence.bigger,
        "the paper's own search": evidence.paper,
        **{f"the proxy {name}": each for name, each in evidence.proxies.items()},
        "the reference of the proxies": evidence.reference,
    }
    parts = (intro, markdown(rows), *levels_parts(levels), *elsewhere_parts(others))
    findings = (*_findings(table, found), *levels_finding(levels, table.rungs[-1]))
    return Chapter(_TITLE, parts, findings)


def _sound_columns(sound: MetricNoise) -> dict[str, str]:
    return {
        f"sound: one run (n = {sound.networks})": _deviation(sound.metric, sound.seeds),
        "sound: between networks": "-" if sound.spread is None else sound.metric.deviation(sound.spread),
        "sound: not noise": _share(sound.reliability),
    }


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _findings(table: RecordedTable, found: Sequence[MetricNoise]) -> list[str]:
    last = {each.metric.name: each for each in found if each.step == table.rungs[-1]}
    fid, clip = last["FID"], last["CLIP"]
    sizes = (
        f"At {fid.step} steps one run's FID varies from seed to seed by {_deviation(fid.metric, fid.seeds)} "
        f"of itself and its CLIP score by {_deviation(clip.metric, clip.seeds)}"
    )
    if clip.reliability is not None and fid.reliability is not None:
        sizes += (
            f"; of the variance between single runs of different networks {clip.reliability:.0%} (CLIP) and "
            f"{fid.reliability:.0%} (FID) is not noise"
        )
    if clip.sound is not None and fid.sound is not None:
        of_sound = (clip.sound.reliability, fid.sound.reliability)
        sizes += (
            f". Of networks that are {SOUND} it is {_deviation(fid.metric, fid.sound.seeds)} and "
            f"{_deviation(clip.metric, clip.sound.seeds)}, and {_share(of_sound[0])} (CLIP) and "
            f"{_share(of_sound[1])} (FID) are not noise"
        )
    return [f"{sizes}.", _common_seeds(clip)]


def _common_seeds(each: MetricNoise) -> str:
    if each.kept is None:
        return "Whether common seeds help cannot be said: too few networks share two seeds."
    text = share_with_interval(each.kept)
    if each.kept.high < 1:
        return f"Common seeds help: they leave {text} of the variance of a difference in CLIP."
    return (
        f"Whether common seeds help is undecided: they leave {text} of the variance of a difference in CLIP."
    )

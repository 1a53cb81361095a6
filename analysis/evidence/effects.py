"""What does each design decision of the paper change? By pairs of networks that differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Literal

from scipy.special import ndtri, stdtr, stdtrit

from analysis.evidence.decisions import PAPER_DECISIONS, MatchedPair, PaperDecision, pairs_among
from analysis.evidence.metrics import Metric, metrics_of
from analysis.evidence.resampling import ERROR_RATE, holm
from analysis.replay.table import RecordedRun, RecordedTable
from search.statistics.noise import Noise
from search.statistics.variance import Variance
from search.statistics.verdicts import Interval
from space.architecture import Architecture
from space.prices.macs import price

FEWEST_PAIRS = 3
POWER = 0.8
MOST_PAIRS_COUNTED = 100_000

EffectWord = Literal["better", "worse", "mixed", "no worse", "undecided", "too few pairs"]
PaperAgreement = Literal["agrees", "disagrees", "undecided"]


@dataclass(frozen=True)
class Effect:
    """What the paper's side changes in one metric, as goodness (above zero: it is better): the mean over
    pairs with its Student interval, and the p-value of no effect, as it is and adjusted for all that were
    tested."""

    metric: Metric
    differences: tuple[float, ...]
    interval: Interval | None
    p: float
    p_adjusted: float

    @property
    def sign(self) -> int:
        """1: better, -1: worse, 0: undecided, with all that were tested counted."""
        if self.interval is None or self.p_adjusted > ERROR_RATE:
            return 0
        return 1 if self.interval.middle > 0 else -1

    @property
    def in_favour(self) -> int:
        return sum(difference > 0 for difference in self.differences)


@dataclass(frozen=True)
class Needed:
    """Pairs that would find an effect of this size (as goodness) in 80 % of cases, and hours of one worker;
    `detectable` is the size that the pairs at hand find so often (None: too few)."""

    metric: Metric
    size: float
    pairs: int
    core_hours: float
    detectable: float | None


@dataclass(frozen=True)
class EffectSize:
    """A decision: its pairs, what it does to each metric, to parameters and MACs (as shares, mean, smallest
    and largest), the pair of MD itself, and what would decide half of it. `no_worse_p` is the adjusted
    p-value of the paper's side being worse by its margin, in the metric where that is likelier;
    `no_worse_pairs` would show with probability `POWER` that it is not, if both sides are equal."""

    decision: PaperDecision
    pairs: tuple[MatchedPair, ...]
    effects: tuple[Effect, ...]
    parameters: Interval | None
    macs: Interval | None
    at_md: tuple[Interval, ...] | None
    needed: tuple[Needed, ...]
    margins: tuple[float, ...]
    no_worse_p: float
    no_worse_pairs: int

    @property
    def word(self) -> EffectWord:
        word = word_of([effect.sign for effect in self.effects], len(self.pairs))
        return "no worse" if word == "undecided" and self.is_no_worse else word

    @property
    def is_no_worse(self) -> bool:
        return self.no_worse_p <= ERROR_RATE

    @property
    def agreement(self) -> PaperAgreement:
        """Whether the paper's side came out as the paper says. No worse is also what is worse beyond chance,
        and known to be so by less than the margin."""
        if self.word == "better" or (self.decision.claim == "no worse" and self.is_no_worse):
            return "agrees"
        return "disagrees" if self.word == "worse" else "undecided"


def effect_sizes(
    table: RecordedTable, md: Architecture, noise: Mapping[str, Variance], stated: Noise, core_seconds: float
) -> list[EffectSize]:
    """Of every decision, by FID and CLIP at the last rung.

    Args:
        noise: the variance of a run by the metric's name, a seed's common effect taken out.
        core_seconds: of one run of the table.
    """
    metrics, space = metrics_of(table)[:2], table.space
    networks = [_lowest_seed(runs).architecture for runs in table.runs.values()]
    paired = {
        decision: _with_runs(pairs_among(decision, networks, space), table) for decision in PAPER_DECISIONS
    }
    effects = {
        decision: [
            effect_of(metric, [_difference(table, pair, metric) for pair in pairs]) for metric in metrics
        ]
        for decision, pairs in paired.items()
    }
    tested = [effect for found in effects.values() for effect in found if effect.interval is not None]
    adjusted = iter(holm([effect.p for effect in tested]))
    level = ERROR_RATE / max(1, len(tested))
    margins = [stated.no_worse(metric.objective) or 0.0 for metric in metrics]
    never_worse = {
        decision: max(map(no_worse_p, both, margins))
        for decision, both in effects.items()
        if all(effect.interval is not None for effect in both)
    }
    never_worse = dict(zip(never_worse, holm(list(never_worse.values())), strict=True))
    found = []
    for decision, pairs in paired.items():
        counted = tuple(
            effect if effect.interval is None else replace(effect, p_adjusted=next(adjusted))
            for effect in effects[decision]
        )
        found.append(
            EffectSize(
                decision,
                tuple(pairs),
                counted,
                _cost_change(pairs, 0),
                _cost_change(pairs, 1),
                _at(md, pairs, table, metrics, noise),
                tuple(needed(effect, noise[effect.metric.name], level, core_seconds) for effect in counted),
                tuple(margins),
                never_worse.get(decision, 1.0),
                max(
                    pairs_needed(_deviation(effect, noise[effect.metric.name]), margin, 2 * level)
                    for effect, margin in zip(counted, margins, strict=True)
                ),
            )
        )
    return found


def effect_of(metric: Metric, differences: Sequence[float]) -> Effect:
    """The mean of the pairs' differences, with Student's interval and p-value."""
    if len(differences) < FEWEST_PAIRS:
        return Effect(metric, tuple(differences), None, 1.0, 1.0)
    interval = _student(differences, ERROR_RATE)
    error, freedom = _error(differences), len(differences) - 1
    p = 2 * float(stdtr(freedom, -abs(interval.middle) / error)) if error else float(interval.middle == 0)
    return Effect(metric, tuple(differences), interval, p, p)


def word_of(signs: Sequence[int], pairs: int) -> EffectWord:
    """Better is better in one metric and worse in none; worse likewise."""
    if pairs < FEWEST_PAIRS:
        return "too few pairs"
    if 1 in signs and -1 in signs:
        return "mixed"
    return "better" if 1 in signs else "worse" if -1 in signs else "undecided"


def no_worse_p(effect: Effect, margin: float) -> float:
    """The p-value of being worse by the margin, one-sided, of an effect that was tested."""
    error, freedom = _error(effect.differences), len(effect.differences) - 1
    above = fmean(effect.differences) + margin
    return float(stdtr(freedom, -above / error)) if error else float(above <= 0)


def needed(effect: Effect, noise: Variance, level: float, core_seconds: float) -> Needed:
    """For half the effect where it is decided, else for half of what its interval leaves open; both networks
    of a pair are trained. Where there are too few pairs, their deviation is what noise alone gives."""
    deviation = _deviation(effect, noise)
    if effect.interval is None:
        size = deviation / 2
    else:
        open_to = (effect.interval.high - effect.interval.low) / 2
        size = (abs(effect.interval.middle) if effect.sign else open_to) / 2
    at_hand = len(effect.differences)
    reach = deviation * _quantiles(at_hand, level) / at_hand**0.5 if effect.interval is not None else None
    pairs = pairs_needed(deviation, size, level)
    return Needed(effect.metric, size, pairs, pairs * 2 * core_seconds / 3600, reach)


def _deviation(effect: Effect, noise: Variance) -> float:
    """Of one pair; by noise alone where there are too few."""
    return (2 * noise.value) ** 0.5 if effect.interval is None else stdev(effect.differences)


def _error(differences: Sequence[float]) -> float:
    return stdev(differences) / len(differences) ** 0.5


def pairs_needed(deviation: float, size: float, level: float) -> int:
    """The fewest pairs whose t-test at that level finds a mean difference of `size` with probability `POWER`,
    by the t-distribution's quantiles in place of the normal's."""
    if not size:
        return MOST_PAIRS_COUNTED
    pairs = max(2, int(((ndtri(1 - level / 2) + ndtri(POWER)) * deviation / size) ** 2))
    while pairs < MOST_PAIRS_COUNTED:
        if pairs >= (_quantiles(pairs, level) * deviation / size) ** 2:
            break
        pairs += 1
    return min(pairs, MOST_PAIRS_COUNTED)


def _quantiles(pairs: int, level: float) -> float:
    """How many standard errors an effect must measure to be found with probability `POWER`."""
    return float(stdtrit(pairs - 1, 1 - level / 2) + stdtrit(pairs - 1, POWER))


# ---------------------------------------------------------------------- pairs


def _with_runs(pairs: Sequence[MatchedPair], table: RecordedTable) -> list[MatchedPair]:
    """Those whose networks share a seed."""
    return [pair for pair in pairs if _seeds(table, pair)]


def _seeds(table: RecordedTable, pair: MatchedPair) -> list[int]:
    papers, other = ({run.seed for run in table.runs[key]} for key in pair.ids)
    return sorted(papers & other)


def _difference(table: RecordedTable, pair: MatchedPair, metric: Metric) -> float:
    """The paper's side less the other, the mean over the seeds that both have."""
    papers, other = (
        {run.seed: metric.goodness(run.rungs[-1].scores[metric.score]) for run in table.runs[key]}
        for key in pair.ids
    )
    return fmean(papers[seed] - other[seed] for seed in _seeds(table, pair))


def _at(
    md: Architecture,
    pairs: Sequence[MatchedPair],
    table: RecordedTable,
    metrics: Sequence[Metric],
    noise: Mapping[str, Variance],
) -> tuple[Interval, ...] | None:
    """MD's own pair, with the interval that noise gives to so many seeds; None without pair or noise."""
    pair = next((pair for pair in pairs if md.id in pair.ids), None)
    if pair is None or not all(noise[metric.name].degrees_of_freedom for metric in metrics):
        return None
    seeds = len(_seeds(table, pair))
    found = []
    for metric in metrics:
        middle, half = _difference(table, pair, metric), noise[metric.name].half_width(seeds, ERROR_RATE)
        found.append(Interval(middle, middle - half, middle + half))
    return tuple(found)


def _cost_change(pairs: Sequence[MatchedPair], which: int) -> Interval | None:
    """By what share the paper's side has more parameters (0) or MACs (1): mean, least and most."""
    if not pairs:
        return None
    changes = [price(pair.papers)[which] / price(pair.other)[which] - 1 for pair in pairs]
    return Interval(fmean(changes), min(changes), max(changes))


def _student(differences: Sequence[float], level: float) -> Interval:
    freedom = len(differences) - 1
    half = -float(stdtrit(freedom, level / 2)) * stdev(differences) / len(differences) ** 0.5
    middle = fmean(differences)
    return Interval(middle, middle - half, middle + half)


def _lowest_seed(runs: Sequence[RecordedRun]) -> RecordedRun:
    return min(runs, key=lambda run: run.seed)

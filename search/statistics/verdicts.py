"""Better, worse, mixed, equivalent, no worse or undecided: what runs of two networks with the same seeds say.

Runs are paired by seed, and differences are of the FID's logarithm and of the CLIP score (of any objective,
on the scale on which its noise is even). The variance of a run, with what a seed does to all networks alike
taken out, is pooled over all confirmed networks, and combined with the stated noise, which counts as so many
degrees of freedom; where none is stated, repeated seeds alone say it, and nothing is decided before there are
some, nor of a network worse than all that have some. A difference over n seeds is decided where its interval
leaves zero out: a Student interval of those degrees of freedom, which is but the value where that is exact.
Verdicts may be looked at after every seed, and the objectives are looked at side by side: the look at n seeds
has the share 1 / (n (n + 1)) of the level, in equal parts for each objective with noise. The shares sum to
one however long one looks, so that two equal networks are told apart, ever, with at most that probability
(Bonferroni's inequality).

No worse is one-sided: in every objective the end on the worse side lies within its margin, at the whole share
of the look, since all must. So a network that is worse by the margin, in any objective, is ever called no
worse with at most the level's probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import expm1, isfinite
from statistics import fmean
from typing import Literal

from search.objectives import FID_AND_CLIP, Objective, Objectives
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.statistics.noise import Noise, noisy, tie_or
from search.statistics.pair_noise import PairNoise, Runs
from search.statistics.pareto import Point
from search.statistics.variance import Variance

MOST_LOG_RATIO = 20.0  # a ratio of FIDs beyond this says no more
Word = Literal["better", "worse", "mixed", "equivalent", "no worse", "undecided"]
OPEN: tuple[Word, ...] = ("no worse", "undecided")  # who is better is not known, and more seeds may tell


@dataclass(frozen=True)
class Interval:
    """A difference, and between what it lies."""

    middle: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 where all of it is above zero, -1 below, 0 where it holds zero."""
        return (self.low > 0) - (self.high < 0)

    @property
    def known(self) -> bool:
        """Whether there is a noise that says how far it reaches."""
        return isfinite(self.low) and isfinite(self.high)

    def within(self, bound: float) -> bool:
        return -bound <= self.low and self.high <= bound


@dataclass(frozen=True)
class Verdict:
    """A network against another, from runs of both with the same seeds and steps.

    `differences` are one for each objective: by what share the FID of `name` is above that of `against`
    (-.2: 20 % lower, which is better), as of every score on the log scale; of others, as of CLIP, the
    difference. Better is beyond the noise in one and not worse in the others, worse likewise; mixed is better
    in one and worse in another. Of what else is known, equivalent says more than no worse. `at_worst` is how
    far the differences reach to the worse side, one-sided, as no worse has it. `beyond` says where one of the
    two is worse than the networks that noise was measured on.
    """

    name: str
    against: str
    word: Word
    seeds: int
    steps: int
    differences: tuple[Interval, ...]
    objectives: Objectives = FID_AND_CLIP
    at_worst: tuple[float, ...] = ()
    beyond: str = ""

    def difference(self, label: str) -> Interval:
        """Of the objective with this label."""
        labels = [objective.label for objective in self.objectives]
        return self.differences[labels.index(label)]

    def sentence(self) -> str:
        return f"{self.name} against {self.against}: {self.word} ({self.figures()})"

    def figures(self) -> str:
        """The differences, what is noted of them, and of how many seeds they are."""
        count = f"{self.seeds} seed{'s' if self.seeds != 1 else ''} of {self.steps} steps"
        found = map(_difference_text, self.objectives, self.differences)
        return "; ".join([*found, *self.notes(), count])

    def notes(self) -> list[str]:
        """How far a network that is no worse may be worse, and where the stated noise says nothing."""
        ends = [
            f"{o.label} {o.difference_text(e)}" for o, e in zip(self.objectives, self.at_worst, strict=False)
        ]
        worst = [f"at worst {' and '.join(ends)}"] if self.word == "no worse" else []
        return [*worst, *([self.beyond] if self.beyond else [])]


def _difference_text(objective: Objective, found: Interval) -> str:
    middle, low, high = map(objective.difference_text, (found.middle, found.low, found.high))
    reach = f"between {low} and {high}" if found.known else "of unknown noise"
    return f"{objective.label} {middle}, {'exact' if objective.exact else reach}"


class Evidence:
    """What runs of one length say: the noise that they show, and any two networks against each other."""

    def __init__(self, runs: Runs, steps: int, noise: Noise) -> None:
        self.runs, self.steps, self.noise = runs, steps, noise
        points = [point for by_seed in runs.values() for point in by_seed.values()]
        self.objectives = points[0].objectives if points else FID_AND_CLIP
        self.pair_noise = PairNoise(runs, self.objectives, steps, noise)

    def verdict(self, name: str, against: str) -> Verdict | None:
        """None where the two share no seed."""
        seeds = len(self._shared(name, against))
        if not seeds:
            return None
        variances, beyond = self.pair_noise.of(name, against)
        found = self._intervals(name, against, seeds, variances)
        shown = tuple(_shown(*each) for each in zip(self.objectives, found, strict=True))
        worst = self._worst_ends(found, seeds, variances)
        at_worst = tuple(map(_shown_end, self.objectives, worst))
        word = self._word(found, worst)
        return Verdict(name, against, word, seeds, self.steps, shown, self.objectives, at_worst, beyond)

    def seeds_to_decide(self, name: str, against: str, most: int) -> int | None:
        """How many seeds would decide, if the mean difference stays what it is; None if `most` would not."""
        known = len(self._shared(name, against))
        if not known:
            return None
        variances, _ = self.pair_noise.of(name, against)
        for count in range(known, most + 1):
            found = self._intervals(name, against, count, variances)
            worst = self._worst_ends(found, count, variances)
            if self._word(found, worst) not in OPEN:
                return count
        return None

    def reach(self, seeds: int) -> list[float]:
        """From how far apart on, in each objective on its even scale, two networks are told apart after so
        many shared seeds; infinite where its noise is not known."""
        return self._reach(seeds, self.pair_noise.variances)

    def _reach(self, seeds: int, variances: Sequence[Variance]) -> list[float]:
        level = self._look(seeds) / max(1, len(noisy(self.objectives)))
        return [variance.half_width(seeds, level) for variance in variances]

    def _look(self, seeds: int) -> float:
        """The share of the level that the look after so many seeds has."""
        return self.noise.level / (seeds * (seeds + 1))

    def _worst_ends(
        self, found: Sequence[Interval], seeds: int, variances: Sequence[Variance]
    ) -> list[float]:
        """Of each objective's difference the end on the worse side, on its even scale, one-sided."""
        halves = [variance.half_width(seeds, 2 * self._look(seeds)) for variance in variances]
        return [
            own.middle + (half if objective.lower_is_better else -half)
            for objective, own, half in zip(self.objectives, found, halves, strict=True)
        ]

    def _shared(self, name: str, against: str) -> list[int]:
        return sorted(self.runs.get(name, {}).keys() & self.runs.get(against, {}).keys())

    def _intervals(
        self, name: str, against: str, count: int, variances: Sequence[Variance]
    ) -> list[Interval]:
        """Of each objective on its even scale, as wide as after `count` seeds."""
        pairs = [
            (self.runs[name][seed].even, self.runs[against][seed].even)
            for seed in self._shared(name, against)
        ]
        halves = zip(self.objectives, self._reach(count, variances), strict=True)
        return [
            _around(tie_or(fmean(a[place] - b[place] for a, b in pairs), objective), half)
            for place, (objective, half) in enumerate(halves)
        ]

    def _word(self, found: Sequence[Interval], worst: Sequence[float]) -> Word:
        each = list(zip(self.objectives, found, strict=True))
        gains = [-own.sign if objective.lower_is_better else own.sign for objective, own in each]
        if max(gains) > 0 and min(gains) < 0:
            return "mixed"
        if not all(own.known for own in found):
            return "undecided"  # it may be the other way round in what is not known
        if max(gains) > 0:
            return "better"
        if min(gains) < 0:
            return "worse"
        bounds = [(own, self.noise.equivalent(objective)) for objective, own in each]
        alike = all(bound is not None and own.within(bound) for own, bound in bounds)
        if alike:
            return "equivalent"
        return "no worse" if all(map(self._within_margin, self.objectives, worst)) else "undecided"

    def _within_margin(self, objective: Objective, worst: float) -> bool:
        margin = self.noise.no_worse(objective)
        return margin is not None and (worst if objective.lower_is_better else -worst) <= margin


def _shown(objective: Objective, found: Interval) -> Interval:
    """Of the log scale as shares."""
    return Interval(*(_shown_end(objective, end) for end in (found.middle, found.low, found.high)))


def _shown_end(objective: Objective, end: float) -> float:
    if objective.scale == "linear":
        return end
    return expm1(end if not isfinite(end) else min(end, MOST_LOG_RATIO))


def _around(middle: float, half: float) -> Interval:
    return Interval(middle, middle - half, middle + half)


# ---------------------------------------------------------------------- of a record


def confirmation_runs(trials: Sequence[Trial], objectives: Objectives) -> dict[int, Runs]:
    """Steps -> the complete runs of that length, longest first."""
    found: dict[int, dict[str, dict[int, Point]]] = {}
    for trial in trials:
        point = point_of(trial, objectives)
        if trial.state == "complete" and point is not None:
            found.setdefault(trial.last_step, {}).setdefault(trial.name, {})[trial.seed] = point
    return {steps: found[steps] for steps in sorted(found, reverse=True)}


def verdicts(
    history: History, objectives: Objectives, noise: Noise, references: Sequence[str]
) -> list[Verdict]:
    """Every confirmed trial against every reference point, then against the other trials, over the seeds
    that both completed, at the longest steps that both were trained for."""
    raced = confirmed_trials(history, references)
    by_steps = confirmation_runs(raced, objectives)
    evidence = [Evidence(runs, steps, noise) for steps, runs in by_steps.items()]
    names = [name for name in dict.fromkeys(trial.name for trial in raced) if name not in references]
    pairs = [(name, reference) for name in names for reference in references] + list(combinations(names, 2))
    found = (next(filter(None, (each.verdict(*pair) for each in evidence)), None) for pair in pairs)
    return [verdict for verdict in found if verdict is not None]


def after_each_seed(
    history: History, objectives: Objectives, noise: Noise, references: Sequence[str], name: str
) -> dict[str, list[Verdict]]:
    """Of a network against every other that raced it at its longest steps: the verdict after each shared
    seed, from what was known when all had so many seeds."""
    by_steps = confirmation_runs(confirmed_trials(history, references), objectives)
    steps, runs = next(((steps, runs) for steps, runs in by_steps.items() if name in runs), (0, {}))
    seeds = sorted({seed for by_seed in runs.values() for seed in by_seed})
    found: dict[str, list[Verdict]] = {other: [] for other in runs if other != name}
    for count in range(1, len(seeds) + 1):
        first = {
            other: {seed: point for seed, point in by_seed.items() if seed in seeds[:count]}
            for other, by_seed in runs.items()
        }
        evidence = Evidence(first, steps, noise)
        for other, said in found.items():
            verdict = evidence.verdict(name, other)
            if verdict is not None and verdict.seeds == len(said) + 1:
                said.append(verdict)
    return {other: said for other, said in found.items() if said}


def confirmed_trials(history: History, references: Sequence[str]) -> list[Trial]:
    """Confirmation runs; those of stopped trials, trained again only to count wrong stops, are left out."""
    complete = {trial.name for trial in history.trials if trial.state == "complete"}
    return [trial for trial in history.confirmations if trial.name in complete or trial.name in references]

"""What is noise of two networks: of runs, beside what is stated, and only as far down as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

from search.objectives import FID, Objective, Objectives
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point
from search.statistics.variance import EXACT, UNKNOWN, Variance, within_paired

Runs = Mapping[str, Mapping[int, Point]]  # network -> seed -> scores


class PairNoise:
    """Variances of one run with what a seed does to all networks alike taken out, an objective each.

    `repeats` are those of the runs themselves, pooled over networks with several seeds; `variances` have what
    is stated beside them, at its weight. How good networks were that either was measured on is told by their
    FIDs; where FID is no objective, it is not known, and bounds nothing.
    """

    def __init__(self, runs: Runs, objectives: Objectives, steps: int, noise: Noise) -> None:
        self.runs, self.objectives, self.steps, self.noise = runs, objectives, steps, noise
        self.repeats = [self._repeats(place, each) for place, each in enumerate(objectives)]
        self.stated = [
            UNKNOWN if deviation is None else Variance(deviation**2, noise.degrees_of_freedom)
            for deviation in noise.at(steps).deviations(objectives)
        ]
        self.variances = [own.with_prior(prior) for own, prior in zip(self.repeats, self.stated, strict=True)]
        self.repeated = self._repeated()

    def of(self, name: str, against: str) -> tuple[list[Variance], str]:
        """What holds for a pair, and why it is not what is stated. Where one of the two is worse than the
        networks that the stated noise was measured on, or none is stated for an objective, repeated seeds
        alone say it; of a network worse than all that were repeated, nothing does."""
        beyond = self._above(self.noise, name, against)
        above = self._above(self.repeated, name, against)
        by_repeats = [
            not each.exact and (bool(beyond) or not prior.degrees_of_freedom)
            for each, prior in zip(self.objectives, self.stated, strict=True)
        ]
        variances = [
            (UNKNOWN if above else own) if alone else together
            for alone, own, together in zip(by_repeats, self.repeats, self.variances, strict=True)
        ]
        if above and any(by_repeats):
            return variances, f"{above} seeds were repeated: its noise is not known"
        return variances, f"{beyond} noise was measured: the repeated seeds alone decide" if beyond else ""

    def _above(self, noise: Noise, name: str, against: str) -> str:
        """Which of the two is worse than the networks that a noise was measured on, and how far those went;
        empty where none is."""
        for each in (name, against):
            values = [point.even for point in self.runs[each].values()]
            for place, objective in enumerate(self.objectives):
                mean = fmean(even[place] for even in values)
                if noise.out_of_range(objective, mean, self.steps, len(values)):
                    fid = objective.roughly(objective.from_even(mean))
                    return f"{each}'s FID of {fid} is above {noise.measured_up_to_fid:.4g}, up to which"
        return ""

    def _repeats(self, place: int, objective: Objective) -> Variance:
        if objective.exact:
            return EXACT
        return within_paired(
            {
                name: {seed: point.even[place] for seed, point in by_seed.items()}
                for name, by_seed in self.runs.items()
            }
        )

    def _repeated(self) -> Noise:
        """Of the repeated seeds alone, and up to which FID those networks went."""
        deviations = {
            objective: own.deviation if own.degrees_of_freedom else None
            for objective, own in zip(self.objectives, self.repeats, strict=True)
        }
        fids = [
            objective.from_even(fmean(point.even[place] for point in by_seed.values()))
            for place, objective in enumerate(self.objectives)
            for by_seed in self.runs.values()
            if objective.label == FID and len(by_seed) > 1
        ]
        at = RungNoise.of(self.steps, deviations)
        return replace(self.noise, rungs=(at,), measured_up_to_fid=max(fids, default=None))

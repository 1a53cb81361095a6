"""How large noise is: variances from repeated seeds, what they are worth, and the intervals that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean

import numpy as np
from scipy.special import chdtri, stdtrit


@dataclass(frozen=True)
class Variance:
    """The variance of one run, and the degrees of freedom that it was estimated with; 0: none is known."""

    value: float
    degrees_of_freedom: float

    @property
    def deviation(self) -> float:
        return self.value**0.5

    def with_prior(self, prior: Variance) -> Variance:
        """Both together, each with the weight of its degrees of freedom: the mean of a scaled inverse
        chi-square posterior's parameters (Gelman et al., Bayesian Data Analysis, section 2.6)."""
        if self.degrees_of_freedom == inf:
            return self
        total = self.degrees_of_freedom + prior.degrees_of_freedom
        if not total:
            return UNKNOWN
        weighted = self.degrees_of_freedom * self.value + prior.degrees_of_freedom * prior.value
        return Variance(weighted / total, total)

    def deviation_interval(self, level: float = 0.05) -> tuple[float, float]:
        """Where the true deviation lies but for `level`, by the chi-square distribution."""
        n = self.degrees_of_freedom
        low, high = (n * self.value / float(chdtri(n, tail)) for tail in (level / 2, 1 - level / 2))
        return low**0.5, high**0.5

    def half_width(self, pairs: float, level: float) -> float:
        """Of Student's interval of the mean difference of two networks over so many pairs of runs, which
        leaves the truth out with probability `level`. Infinite where nothing is known."""
        if not self.degrees_of_freedom:
            return inf
        if not self.value:
            return 0.0
        return -float(stdtrit(self.degrees_of_freedom, level / 2)) * (2 * self.value / pairs) ** 0.5


UNKNOWN = Variance(0.0, 0)
EXACT = Variance(0.0, inf)  # of what is computed


def variance_within(groups: Iterable[Sequence[float]]) -> Variance:
    """From seed to seed, pooled over groups: the runs of one network each."""
    squares, freedom = 0.0, 0
    for values in groups:
        mean = fmean(values)
        squares += sum((value - mean) ** 2 for value in values)
        freedom += len(values) - 1
    return Variance(squares / freedom if freedom else 0.0, freedom)


def within_paired(runs: Mapping[str, Mapping[int, float]]) -> Variance:
    """What is left of runs (network -> seed -> score) when every network and every seed has its own level:
    twice this is the variance of a difference of two networks with the same seed."""
    cells = [(name, seed, value) for name, by_seed in runs.items() for seed, value in by_seed.items()]
    if not cells:
        return Variance(0.0, 0)
    names, seeds = list(runs), sorted({seed for _, seed, _ in cells})
    design = np.zeros((len(cells), len(names) + len(seeds)))
    for row, (name, seed, _) in enumerate(cells):
        design[row, names.index(name)] = design[row, len(names) + seeds.index(seed)] = 1.0
    values = np.array([value for _, _, value in cells])
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(cells) - int(rank)
    squares = float(((values - design @ solution) ** 2).sum())
    return Variance(squares / freedom if freedom else 0.0, freedom)

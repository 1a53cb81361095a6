"""Stopped when far behind where those that ended best were, by all scores that a trial records.

What FID and CLIP do not show yet, others may: the loss on held-out images tells networks apart long before
their images do. One score may mislead, as the early FID of a network without cross-attention does; the mean
over all scores seldom does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Literal

from search.objectives import VALIDATION_LOSS, Objective, checked
from search.statistics.curves import Curve
from search.statistics.noise import Noise
from search.statistics.pareto import Point, fronts, rank_sums
from search.stopping.base import StoppingRule, check_peers
from space.shared.plain import InputError

SMALLEST_DEVIATION = 1e-9  # of a noise that is stated as none
FURTHER = (
    Objective(VALIDATION_LOSS, "minimize", "log", "validation loss"),
    Objective("fid_random_conv", "minimize", "log", "FID random conv"),
)


@dataclass(frozen=True)
class LeadersSettings:
    """The leaders are the best `leading_share` of the complete trials, `minimum_peers` at least. A trial that
    is further behind them than `deviations` of one run, on average over the objectives and the `further`
    scores, is stopped."""

    name: Literal["leaders"] = "leaders"
    minimum_peers: int = 2
    leading_share: float = 0.1
    deviations: float = 2.0
    further: tuple[Objective, ...] = FURTHER

    def __post_init__(self) -> None:
        check_peers(self.minimum_peers)
        if not 0 < self.leading_share <= 1:
            raise InputError(
                f"leading_share: {self.leading_share:g} is not a share; allowed: above 0, up to 1"
            )
        if self.deviations < 0:
            raise InputError(f"deviations: {self.deviations} is negative; allowed: 0 or more")
        checked(self.further)

    @property
    def doubt(self) -> str:
        once = round(1 / (1 - NormalDist().cdf(self.deviations)))
        return (
            f"noise alone stops a network as good as its leaders once in {once} rungs, more often where "
            "theirs was luck that lasted"
        )

    def make(self, noise: Noise) -> StoppingRule:
        return LeadersRule(noise, self.minimum_peers, self.leading_share, self.deviations, self.further)


@dataclass(frozen=True)
class LeadersRule:
    """Stops a trial that is behind the leaders' mean at this rung by more than `deviations` of one run, on
    average over all scores whose noise is known here.

    A network as good as the leaders is off their mean, of k runs, by sqrt(1 + 1/k) deviations of one run in
    each score, and by no more in the mean over scores, however these go together: at 2 deviations one in 44
    is stopped at a rung; more where a leader's luck at the rung lasted to the end that it was chosen for.
    """

    noise: Noise
    minimum_peers: int
    leading_share: float
    deviations: float
    further: tuple[Objective, ...]

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here = trial.at(trial.step)
        leaders = self._leaders(peers, full_steps)
        if here is None or len(leaders) < self.minimum_peers:
            return ""
        behind = list(self._behind(trial, here, leaders))
        if not behind or fmean(each.by for each in behind) <= self.deviations:
            return ""
        return (
            f"behind the best {len(leaders)} complete trials at step {trial.step} by "
            f"{fmean(each.by for each in behind):.1f} deviations of one run on average: "
            + "; ".join(each.text for each in behind)
        )

    def _leaders(self, peers: Sequence[Curve], full_steps: int) -> list[Curve]:
        """The best by the front on which they ended, and on one front by their ranks in each objective."""
        complete = [(peer, end) for peer in peers if (end := peer.at(full_steps)) is not None]
        ends = [end for _, end in complete]
        keys = list(zip(fronts(ends), rank_sums(ends), strict=True)) if ends else []
        order = sorted(range(len(ends)), key=lambda index: keys[index])
        leading = max(self.minimum_peers, math.ceil(self.leading_share * len(ends)))
        return [complete[index][0] for index in order[:leading]]

    def _behind(self, trial: Curve, here: Point, leaders: Sequence[Curve]) -> Iterator[_Behind]:
        """In each score that the trial and enough leaders have, and whose noise is known."""
        noise, decide = self.noise.at(trial.step), {each.name for each in here.objectives}
        for score in (*here.objectives, *(each for each in self.further if each.name not in decide)):
            own, deviation = trial.score(score, trial.step), noise.deviation(score)
            theirs = [value for each in leaders if (value := each.score(score, trial.step)) is not None]
            if own is not None and deviation is not None and len(theirs) >= self.minimum_peers:
                mean = score.from_even(fmean(map(score.even, theirs)))
                reach = max(deviation, SMALLEST_DEVIATION) * math.sqrt(1 + 1 / len(theirs))
                yield _Behind(score, own, mean, -score.gain(own, mean) / reach)


@dataclass(frozen=True)
class _Behind:
    """A trial's value of a score, the leaders' mean, and by how many deviations it is behind."""

    score: Objective
    own: float
    mean: float
    by: float

    @property
    def text(self) -> str:
        own, mean = map(self.score.roughly, (self.own, self.mean))
        return f"{self.score.label} {own}, theirs {mean} ({self.by:+.1f})"

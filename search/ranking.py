"""Two objectives, FID down and CLIP up: non-dominated fronts, hypervolume, and who leads within the noise.

A difference inside the noise is undecided, never a rank. The noise is stated beside the protocol that it
was measured under: standard deviations of one training run at each rung, seeds varied.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, log
from statistics import fmean
from typing import Any

from search.record import Trial
from space.plain import InputError, from_plain

SMALLEST_FID = 1e-9  # an FID of 0, of equal features, or a rounding below it has no logarithm
SMALLEST_LEVEL = 1e-100  # so that intervals end


@dataclass(frozen=True)
class Objectives:
    """The full names of the two scores that decide: a FID (lower is better) and a CLIP score (higher)."""

    fid: str = "fid_embedded_clip"
    clip: str = "clip_embedded"


@dataclass(frozen=True)
class RungNoise:
    """Seed-to-seed standard deviation of one run at a step: of FID as a share of the FID (which is to say of
    its logarithm), of CLIP as it is."""

    step: int
    fid_relative: float
    clip: float

    def __post_init__(self) -> None:
        for name in ("fid_relative", "clip"):
            if not getattr(self, name) >= 0:
                value = getattr(self, name)
                raise InputError(f"{name}: {value:g} at step {self.step} is no deviation; allowed: 0 or more")


@dataclass(frozen=True)
class Noise:
    """Noise by rung, and what counts as beyond it.

    `deviations`: so many standard deviations of a difference count as beyond the noise; they also state how
    often a verdict on equal networks may be wrong (`level`). `degrees_of_freedom` is how much the figures
    weigh against repeated seeds: what they were measured with, a run beyond the first of each network. Two
    networks are called equivalent once they are known to differ by less than `equivalent_fid_relative` of
    the FID and `equivalent_clip`.
    """

    rungs: tuple[RungNoise, ...]
    deviations: float = 2.0
    degrees_of_freedom: float = 6.0
    equivalent_fid_relative: float = 0.05
    equivalent_clip: float = 0.01

    def __post_init__(self) -> None:
        if not self.rungs:
            raise InputError("rungs: empty; allowed: the noise of one step or more")
        for name in ("deviations", "equivalent_fid_relative", "equivalent_clip"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if self.degrees_of_freedom < 1:
            raise InputError(
                f"degrees_of_freedom: {self.degrees_of_freedom:g} is too few; allowed: 1 or more"
            )

    @property
    def level(self) -> float:
        """The share of normal differences beyond `deviations`: .0455 for 2."""
        return max(erfc(self.deviations / 2**0.5), SMALLEST_LEVEL)

    def at(self, step: int) -> RungNoise:
        """The noise at the nearest step that it is stated for."""
        return min(self.rungs, key=lambda rung: abs(rung.step - step))


@dataclass(frozen=True)
class Point:
    """A FID and a CLIP score."""

    fid: float
    clip: float

    @property
    def log_fid(self) -> float:
        """The scale on which the noise of an FID is even: seeds multiply it."""
        return log(max(self.fid, SMALLEST_FID))

    def dominates(self, other: Point) -> bool:
        no_worse = self.fid <= other.fid and self.clip >= other.clip
        return no_worse and (self.fid < other.fid or self.clip > other.clip)


def mean_point(points: Sequence[Point]) -> Point:
    """Of runs of one network: the geometric mean of FID, since seeds multiply it, and the mean of CLIP."""
    return Point(exp(fmean(point.log_fid for point in points)), fmean(point.clip for point in points))


def point_of(trial: Trial, objectives: Objectives, step: int | None = None) -> Point | None:
    """The two scores of a trial at a step (its last by default); None where it has none."""
    fid, clip = trial.score(objectives.fid, step), trial.score(objectives.clip, step)
    return None if fid is None or clip is None else Point(fid, clip)


def fronts(points: Sequence[Point]) -> list[int]:
    """The non-dominated rank of each point, 0 for the Pareto front.

    By rising FID, a point joins the first front whose best CLIP so far is below its own: the fronts' best
    CLIPs fall with the rank, so a bisection finds it (n log n, where peeling front by front takes n^2).
    """
    ranks = [0] * len(points)
    best_clips: list[float] = []  # of each front so far, negated, so that they rise
    before: int | None = None
    for index in sorted(range(len(points)), key=lambda i: (points[i].fid, -points[i].clip)):
        if before is not None and points[index] == points[before]:
            ranks[index] = ranks[before]
            continue
        rank = bisect_right(best_clips, -points[index].clip)
        best_clips[rank : rank + 1] = [-points[index].clip]
        ranks[index], before = rank, index
    return ranks


def rank_sums(points: Sequence[Point]) -> list[int]:
    """Of each point how many others are better in FID, plus how many are in CLIP: 0 for the best in both."""
    fids, clips = sorted(point.fid for point in points), sorted(-point.clip for point in points)
    return [bisect_left(fids, point.fid) + bisect_left(clips, -point.clip) for point in points]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The area that the points dominate and the reference bounds: in FID x CLIP."""
    area, clip_reached = 0.0, reference.clip
    for point in sorted(points, key=lambda point: (point.fid, -point.clip)):
        if point.fid < reference.fid and point.clip > clip_reached:
            area += (reference.fid - point.fid) * (point.clip - clip_reached)
            clip_reached = point.clip
    return area


def best_order(points: Sequence[Point]) -> list[int]:
    """The places of the points, best first: by non-dominated rank, then by the hypervolume that each alone
    adds to its front (against the worst of all), then as they came."""
    if not points:
        return []
    reference = Point(max(point.fid for point in points) * 1.01, min(point.clip for point in points) - 0.01)
    ranks = fronts(points)
    own = _own_hypervolumes(points, ranks, reference)
    return sorted(range(len(points)), key=lambda i: (ranks[i], -own[i], i))


def best_first(trials: Sequence[Trial], objectives: Objectives) -> list[Trial]:
    """Complete trials, best first, as `best_order` has it."""
    complete = [
        (trial, point)
        for trial in trials
        if trial.state == "complete" and (point := point_of(trial, objectives))
    ]
    return [complete[index][0] for index in best_order([point for _, point in complete])]


def _own_hypervolumes(points: Sequence[Point], ranks: Sequence[int], reference: Point) -> list[float]:
    """What each point alone adds to its front: the rectangle to its neighbours in FID and in CLIP."""
    by_rank: dict[int, list[int]] = {}
    for index in sorted(range(len(points)), key=lambda i: points[i].fid):
        by_rank.setdefault(ranks[index], []).append(index)
    own = [0.0] * len(points)
    for front in by_rank.values():
        for place, index in enumerate(front):
            fid_bound = points[front[place + 1]].fid if place + 1 < len(front) else reference.fid
            clip_bound = points[front[place - 1]].clip if place else reference.clip
            own[index] = (fid_bound - points[index].fid) * (points[index].clip - clip_bound)
    return own


def within_noise(trials: Sequence[Trial], objectives: Objectives, noise: Noise) -> list[Trial]:
    """Complete trials that no other beats beyond the noise of two runs, best first: by one run each it cannot
    be said who of them is best.

    Whom anyone beats, somebody on the front does, so only the front is asked.
    """
    ordered = best_first(trials, objectives)
    points = [point for trial in ordered if (point := point_of(trial, objectives)) is not None]
    front = [point for point, rank in zip(points, fronts(points), strict=True) if rank == 0]
    return [
        trial
        for trial, point in zip(ordered, points, strict=True)
        if not any(beats(other, point, noise, trial.last_step) for other in front)
    ]


def beats(one: Point, other: Point, noise: Noise, step: int) -> bool:
    """Whether one run is better than another by more than the noise of two in one score, and not worse by it
    in the other."""
    at, deviations = noise.at(step), noise.deviations * 2**0.5
    fid_noise, clip_noise = deviations * at.fid_relative, deviations * at.clip
    fid_gain, clip_gain = other.log_fid - one.log_fid, one.clip - other.clip
    beyond = fid_gain > fid_noise or clip_gain > clip_noise
    return beyond and fid_gain >= -fid_noise and clip_gain >= -clip_noise


def noise_from_plain(data: Any) -> Noise:
    """A noise as a record's header holds it; fields that it does not name have their defaults."""
    noise = from_plain(Noise, {name: data[name] for name in Noise.__dataclass_fields__ if name in data})
    assert isinstance(noise, Noise)
    return noise

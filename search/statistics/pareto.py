"""Two objectives, FID down and CLIP up: non-dominated fronts and hypervolume."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean

SMALLEST_FID = 1e-9  # an FID of 0, of equal features, or a rounding below it has no logarithm


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

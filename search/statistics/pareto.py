"""Objectives side by side: non-dominated fronts, hypervolume, and who is best by them.

Everything here is exact for any number of objectives. Two, the default, have shorter ways of their own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import le, lt
from statistics import fmean

from search.objectives import CLIP, FID, FID_AND_CLIP, Objectives

Losses = tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """The scores of one run: a value for each objective, in their order."""

    values: tuple[float, ...]
    objectives: Objectives = FID_AND_CLIP

    def __post_init__(self) -> None:
        if not isinstance(self.values, tuple):
            raise TypeError(
                f"{self.values!r} is no tuple of values; a FID and a CLIP are Point.of(fid, clip)"
            )
        if len(self.values) != len(self.objectives):
            raise ValueError(f"{len(self.values)} values for {len(self.objectives)} objectives")

    @classmethod
    def of(cls, *values: float, objectives: Objectives = FID_AND_CLIP) -> Point:
        """Point.of(12.3, 0.45): a FID and a CLIP score, unless other objectives are named."""
        return cls(values, objectives)

    @property
    def fid(self) -> float:
        """Where a FID is an objective, as by default it is."""
        return self.value_of(FID)

    @property
    def clip(self) -> float:
        """Where a CLIP score is an objective, as by default it is."""
        return self.value_of(CLIP)

    def value_of(self, label: str) -> float:
        """Of the objective with this label."""
        return next(v for v, each in zip(self.values, self.objectives, strict=True) if each.label == label)

    @cached_property
    def losses(self) -> Losses:
        """Smaller is better in each."""
        return tuple(each.loss(v) for v, each in zip(self.values, self.objectives, strict=True))

    @cached_property
    def even(self) -> tuple[float, ...]:
        """Each on the scale on which its noise is even: of an FID the logarithm."""
        return tuple(each.even(v) for v, each in zip(self.values, self.objectives, strict=True))

    def dominates(self, other: Point) -> bool:
        return _dominates(self.losses, other.losses)

    def gains_over(self, other: Point) -> list[float]:
        """By how much each value is better than the other's, on its even scale."""
        pairs = zip(self.even, other.even, self.objectives, strict=True)
        return [theirs - own if each.lower_is_better else own - theirs for own, theirs, each in pairs]


def _dominates(one: Losses, other: Losses) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(own <= theirs for own, theirs in pairs) and any(own < theirs for own, theirs in pairs)


def mean_point(points: Sequence[Point]) -> Point:
    """Of runs of one network: the mean on each even scale, which is the geometric mean of FID, since seeds
    multiply it, and the mean of CLIP."""
    objectives = points[0].objectives
    evens = zip(*(point.even for point in points), strict=True)
    values = (each.from_even(fmean(own)) for each, own in zip(objectives, evens, strict=True))
    return Point(tuple(values), objectives)


def rank_sums(points: Sequence[Point]) -> list[int]:
    """Of each point how many others are better, summed over the objectives: 0 for the best in all."""
    columns = [sorted(column) for column in zip(*(point.losses for point in points), strict=True)]
    return [
        sum(bisect_left(column, loss) for column, loss in zip(columns, point.losses, strict=True))
        for point in points
    ]


# ---------------------------------------------------------------------- fronts


def fronts(points: Sequence[Point]) -> list[int]:
    """The non-dominated rank of each point, 0 for the Pareto front."""
    losses = [point.losses for point in points]
    return _fronts_of_two(losses) if losses and len(losses[0]) == 2 else fronts_of_many(losses)


def _fronts_of_two(losses: Sequence[Losses]) -> list[int]:
    """In the order of the first objective, a point joins the first front whose best of the second so far is
    worse than its own: the fronts' bests get worse with the rank, so a bisection finds it (n log n, where
    peeling front by front takes n^2)."""
    ranks = [0] * len(losses)
    best: list[float] = []  # in the second objective, of each front so far; they rise
    before: int | None = None
    for index in sorted(range(len(losses)), key=lambda i: losses[i]):
        if before is not None and losses[index] == losses[before]:
            ranks[index] = ranks[before]
            continue
        rank = bisect_right(best, losses[index][1])
        best[rank : rank + 1] = [losses[index][1]]
        ranks[index], before = rank, index
    return ranks


def fronts_of_many(losses: Sequence[Losses]) -> list[int]:
    """For any number of objectives: in lexicographic order none dominates an earlier one, and a point joins
    the first front that holds none which dominates it."""
    ranks = [0] * len(losses)
    found: list[list[Losses]] = []
    for index in sorted(range(len(losses)), key=lambda i: losses[i]):
        own = losses[index]
        rank = next((r for r, front in enumerate(found) if not any(_dominates(o, own) for o in front)), None)
        if rank is None:
            rank = len(found)
            found.append([])
        found[rank].append(own)
        ranks[index] = rank
    return ranks


# ---------------------------------------------------------------------- hypervolume


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """What the points dominate and the reference bounds: with two objectives an area, FID x CLIP."""
    return volume([point.losses for point in points], reference.losses)


def volume(losses: Sequence[Losses], reference: Losses) -> float:
    """By slices through the last objective, each as thick as no point begins within it, down to two. A slice
    holds what no other of its points dominates in it."""
    if len(reference) == 1:
        return max(0.0, reference[0] - min((own for (own,) in losses), default=reference[0]))
    if len(reference) == 2:
        return _area(losses, reference)
    inside = [own for own in losses if all(map(lt, own, reference))]
    inside.sort(key=lambda own: own[-1])
    total, slice_volume = 0.0, 0.0
    front: list[Losses] = []
    for own, after in pairwise([*inside, reference]):
        here = own[:-1]
        if not any(all(map(le, known, here)) for known in front):
            front = [known for known in front if not all(map(le, here, known))] + [here]
            slice_volume = volume(front, reference[:-1])
        total += slice_volume * (after[-1] - own[-1])
    return total


def _area(losses: Sequence[Losses], reference: Losses) -> float:
    area, reached = 0.0, reference[1]
    for first, second in sorted(losses):
        if first < reference[0] and second < reached:
            area += (reference[0] - first) * (reached - second)
            reached = second
    return area


def best_order(points: Sequence[Point]) -> list[int]:
    """The places of the points, best first: by non-dominated rank, then by the hypervolume that each alone
    adds to its front (against the worst of all), then as they came."""
    if not points:
        return []
    reference = reference_past(points)
    ranks = fronts(points)
    own = _exclusive_contributions(points, ranks, reference)
    return sorted(range(len(points)), key=lambda i: (ranks[i], -own[i], i))


def reference_past(points: Sequence[Point]) -> Point:
    """A little worse than the worst of them in each objective."""
    objectives = points[0].objectives
    columns = zip(*(point.values for point in points), strict=True)
    values = (each.past(each.worst(column)) for each, column in zip(objectives, columns, strict=True))
    return Point(tuple(values), objectives)


def _exclusive_contributions(points: Sequence[Point], ranks: Sequence[int], reference: Point) -> list[float]:
    """What each point alone adds to its front."""
    by_rank: dict[int, list[int]] = {}
    for index in sorted(range(len(points)), key=lambda i: points[i].losses[0]):
        by_rank.setdefault(ranks[index], []).append(index)
    own = [0.0] * len(points)
    exclusive = exclusive_of_two if len(reference.values) == 2 else exclusive_of_many
    for front in by_rank.values():
        found = exclusive([points[index].losses for index in front], reference.losses)
        for index, share in zip(front, found, strict=True):
            own[index] = share
    return own


def exclusive_of_two(front: Sequence[Losses], reference: Losses) -> list[float]:
    """Of a front by its first objective: the rectangles to the neighbours in the one and in the other."""
    firsts = [*(own[0] for own in front[1:]), reference[0]]
    seconds = [reference[1], *(own[1] for own in front[:-1])]
    bounds = zip(front, firsts, seconds, strict=True)
    return [(first - own[0]) * (second - own[1]) for own, first, second in bounds]


def exclusive_of_many(front: Sequence[Losses], reference: Losses) -> list[float]:
    """What each dominates, less what the others dominate of that (While, Bradstreet and Barone, A Fast Way of
    Calculating Exact Hypervolumes, 2012)."""
    found = []
    for place, own in enumerate(front):
        others = [tuple(map(max, own, other)) for other in (*front[:place], *front[place + 1 :])]
        found.append(volume([own], reference) - volume(others, reference))
    return found

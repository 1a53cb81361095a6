"""Two objectives, FID down and CLIP up: non-dominated fronts, hypervolume, noise and verdicts.

A difference inside the noise is undecided, never a rank. The noise is stated beside the protocol that it
was measured under: standard deviations of one training run at each rung, seeds varied.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from search.record import History, Trial
from space.plain import InputError


@dataclass(frozen=True)
class Objectives:
    """The full names of the two scores that decide: a FID (lower is better) and a CLIP score (higher)."""

    fid: str = "fid_embedded_clip"
    clip: str = "clip_embedded"


@dataclass(frozen=True)
class RungNoise:
    """Seed-to-seed standard deviation of one run at a step: of FID as a share of the FID, of CLIP as is."""

    step: int
    fid_relative: float
    clip: float


@dataclass(frozen=True)
class Noise:
    """Noise by rung, and how many standard deviations of a difference count as beyond it."""

    rungs: tuple[RungNoise, ...]
    deviations: float = 2.0

    def __post_init__(self) -> None:
        if not self.rungs:
            raise InputError("rungs: empty; allowed: the noise of one step or more")
        if self.deviations < 0:
            raise InputError(f"deviations: {self.deviations} is negative; allowed: 0 or more")

    def at(self, step: int) -> RungNoise:
        """The noise at the nearest step that it is stated for."""
        return min(self.rungs, key=lambda rung: abs(rung.step - step))


@dataclass(frozen=True)
class Point:
    """A FID and a CLIP score."""

    fid: float
    clip: float

    def dominates(self, other: Point) -> bool:
        no_worse = self.fid <= other.fid and self.clip >= other.clip
        return no_worse and (self.fid < other.fid or self.clip > other.clip)


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


# ---------------------------------------------------------------------- verdicts

Word = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """A network against a reference point, from confirmation runs of both with the same seeds and steps.

    `fid_difference` and `clip_difference` are candidate minus reference, means over the seeds; the
    `*_noise` are what such a difference must exceed to be beyond the noise.
    """

    name: str
    against: str
    word: Word
    seeds: int
    steps: int
    fid_difference: float
    fid_noise: float
    clip_difference: float
    clip_noise: float

    def sentence(self) -> str:
        count = f"{self.seeds} seed{'s' if self.seeds != 1 else ''} of {self.steps} steps"
        return (
            f"{self.name} against {self.against}: {self.word} "
            f"(FID {self.fid_difference:+.2f}, noise {self.fid_noise:.2f}; "
            f"CLIP {self.clip_difference:+.3f}, noise {self.clip_noise:.3f}; {count})"
        )


def verdict(
    name: str, candidate: Sequence[Point], against: str, reference: Sequence[Point], steps: int, noise: Noise
) -> Verdict:
    """Better in one score and not worse in the other, beyond noise; worse likewise; else undecided.

    The two sequences are paired by seed. The noise of the difference of means over n seeds is
    deviations * sqrt(2 / n) standard deviations of one run.
    """
    seeds = min(len(candidate), len(reference))
    at = noise.at(steps)
    fid = fmean(point.fid for point in candidate), fmean(point.fid for point in reference)
    clip = fmean(point.clip for point in candidate), fmean(point.clip for point in reference)
    spread = noise.deviations * (2 / seeds) ** 0.5
    fid_noise, clip_noise = spread * at.fid_relative * (fid[0] + fid[1]) / 2, spread * at.clip
    gains = (_sign(fid[1] - fid[0], fid_noise), _sign(clip[0] - clip[1], clip_noise))
    word: Word = "undecided"
    if max(gains) > 0 and min(gains) >= 0:
        word = "better"
    elif min(gains) < 0 and max(gains) <= 0:
        word = "worse"
    return Verdict(
        name, against, word, seeds, steps, fid[0] - fid[1], fid_noise, clip[0] - clip[1], clip_noise
    )


def _sign(gain: float, noise: float) -> int:
    return (gain > noise) - (gain < -noise)


def verdicts(
    history: History, objectives: Objectives, noise: Noise, references: Sequence[str]
) -> list[Verdict]:
    """Every confirmed network against every reference point, over the seeds that both completed, at the
    longest steps that both were trained for."""
    runs: dict[tuple[str, int], dict[int, Point]] = {}
    for trial in history.confirmations:
        point = point_of(trial, objectives)
        if trial.state == "complete" and point is not None:
            runs.setdefault((trial.name, trial.last_step), {})[trial.seed] = point
    found: list[Verdict] = []
    for name in dict.fromkeys(name for name, _ in runs if name not in references):
        for reference in references:
            shared = [
                (steps, sorted(runs[name, steps].keys() & runs[reference, steps].keys()))
                for steps in {steps for known, steps in runs if known == name}
                if (reference, steps) in runs
            ]
            shared = [(steps, seeds) for steps, seeds in shared if seeds]
            if shared:
                steps, seeds = max(shared)
                mine = [runs[name, steps][seed] for seed in seeds]
                theirs = [runs[reference, steps][seed] for seed in seeds]
                found.append(verdict(name, mine, reference, theirs, steps, noise))
    return found


def noise_from_plain(data: Any) -> Noise:
    """A noise as a record's header holds it."""
    return Noise(tuple(RungNoise(**rung) for rung in data["rungs"]), data["deviations"])

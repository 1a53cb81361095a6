"""Fronts against brute force, hypervolume against Optuna's, and who is within the noise of the best."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from search.objectives import FID_AND_CLIP
from search.runs.scores import best_first, within_noise
from search.statistics.noise import Noise, RungNoise, beats, noise_from_plain
from search.statistics.pareto import Point, fronts, hypervolume, mean_point
from space.shared.plain import InputError
from tests.search.histories import MD, RUNGS, end, open_run, propose, score

NOISE = Noise((RungNoise(400, 0.1, 0.02),), deviations=2.0)
# a coarse grid, so that ties in one score and equal points are common
POINTS = st.lists(
    st.builds(Point.of, st.integers(0, 6).map(float), st.integers(0, 6).map(lambda n: n / 8)), max_size=24
)


def peeled(points: list[Point]) -> list[int]:
    """The definition: peel the non-dominated points off, again and again."""
    ranks, rank = [-1] * len(points), 0
    while -1 in ranks:
        left = [index for index, known in enumerate(ranks) if known == -1]
        for index in left:
            if not any(points[other].dominates(points[index]) for other in left):
                ranks[index] = rank
        rank += 1
    return ranks


@given(POINTS)
def test_fronts_equal_peeling(points: list[Point]) -> None:
    assert fronts(points) == peeled(points)


@given(POINTS)
def test_hypervolume_equals_optunas(points: list[Point]) -> None:
    reference = Point.of(5.0, 0.1)
    losses = np.array([[p.fid, -p.clip] for p in points if p.fid <= 5.0 and p.clip >= 0.1])
    theirs = compute_hypervolume(losses, np.array([5.0, -0.1])) if len(losses) else 0.0
    assert hypervolume(points, reference) == pytest.approx(theirs)


def test_hypervolume_of_two_points_worked_by_hand() -> None:
    # (10 - 2) * (.4 - 0) and, above it, (10 - 6) * (.7 - .4)
    assert hypervolume([Point.of(2, 0.4), Point.of(6, 0.7)], Point.of(10, 0)) == pytest.approx(3.2 + 1.2)


# ---------------------------------------------------------------------- best first


def _record_of(tmp_path: Path, points: list[Point], states: list[str] | None = None) -> list:
    record = open_run(tmp_path)
    for index, point in enumerate(points):
        key = propose(record, MD)
        score(record, key, RUNGS[-1], point.fid, point.clip, "end")
        end(record, key, states[index] if states else "complete")
    record.close()
    return record.history.trials


@settings(max_examples=30, deadline=None)
@given(points=POINTS)
def test_best_first_is_by_front_then_by_exclusive_hypervolume(
    tmp_path_factory: pytest.TempPathFactory, points: list[Point]
) -> None:
    trials = _record_of(tmp_path_factory.mktemp("run"), points)
    order = [trial.number for trial in best_first(trials, FID_AND_CLIP)]
    assert sorted(order) == list(range(len(points)))
    if not points:
        return
    ranks = peeled(points)
    bound = Point.of(max(p.fid for p in points) * 1.01, min(p.clip for p in points) - 0.01)

    def own(index: int) -> float:
        front = [points[i] for i in range(len(points)) if ranks[i] == ranks[index] and i != index]
        return hypervolume([*front, points[index]], bound) - hypervolume(front, bound)

    for before, after in pairwise(order):
        assert ranks[before] <= ranks[after]
        if ranks[before] == ranks[after]:
            assert own(before) >= own(after) - 1e-9


def test_only_complete_trials_can_be_best(tmp_path: Path) -> None:
    points = [Point.of(5, 0.9), Point.of(9, 0.1), Point.of(1, 0.99)]
    trials = _record_of(tmp_path, points, ["halted", "complete", "failed"])
    assert [trial.number for trial in best_first(trials, FID_AND_CLIP)] == [1]


# ---------------------------------------------------------------------- within the noise


def test_who_is_within_the_noise_of_the_best_worked_by_hand(tmp_path: Path) -> None:
    """A run's noise is 10 % of FID and .02 of CLIP, of a difference 2 * sqrt(2) times that: a factor of
    exp(.283) = 1.327 in FID, .057 in CLIP."""
    points = [
        Point.of(10, 0.50),
        Point.of(13.2, 0.51),  # within both
        Point.of(13.3, 0.50),  # beyond in FID
        Point.of(13.3, 0.56),  # beyond in FID, but as far ahead in CLIP
        Point.of(13.3, 0.556),  # beyond in FID, ahead in CLIP within the noise
        Point.of(9, 0.43),  # ahead in FID within the noise, behind in CLIP beyond it
    ]
    trials = _record_of(tmp_path, points)
    assert {trial.number for trial in within_noise(trials, FID_AND_CLIP, NOISE)} == {0, 1, 3}


@settings(max_examples=30, deadline=None)
@given(points=POINTS)
def test_within_the_noise_is_somebody_and_asking_the_front_is_asking_all(
    tmp_path_factory: pytest.TempPathFactory, points: list[Point]
) -> None:
    trials = _record_of(tmp_path_factory.mktemp("run"), points)
    found = [trial.number for trial in within_noise(trials, FID_AND_CLIP, NOISE)]
    fid_noise, clip_noise = 2 * 2**0.5 * 0.1, 2 * 2**0.5 * 0.02

    def beats(one: Point, other: Point) -> bool:
        gains = (other.even[0] - one.even[0]) / fid_noise, (one.clip - other.clip) / clip_noise
        return max(gains) > 1 and min(gains) >= -1

    assert set(found) == {i for i, p in enumerate(points) if not any(beats(q, p) for q in points)}
    assert bool(found) == bool(points)
    order = [trial.number for trial in best_first(trials, FID_AND_CLIP)]
    assert found == [number for number in order if number in found]


# ---------------------------------------------------------------------- noise


def test_noise_is_known_at_the_steps_that_it_is_stated_for_alone() -> None:
    noise = Noise((RungNoise(100, 0.3, 0.1), RungNoise(400, 0.1, 0.02)))
    assert noise.at(400).deviations(FID_AND_CLIP) == [0.1, 0.02]
    for unknown in (noise.at(800), noise.at(150), noise.unknown.at(400)):
        assert unknown.deviations(FID_AND_CLIP) == [None, None]
    far = Point.of(1.0, 1.0), Point.of(100.0, 0.0)
    assert beats(*far, noise, 400) and not beats(*far, noise, 800)
    assert not beats(*far, replace(noise, degrees_of_freedom=5), 400)  # known from a few repeats alone
    with pytest.raises(InputError, match="rungs"):
        Noise(())


def test_a_noise_of_an_earlier_record_reads_with_defaults() -> None:
    plain = {"rungs": [{"step": 400, "fid_relative": 0.1, "clip": 0.02}], "deviations": 2.0}
    assert noise_from_plain(plain) == NOISE
    assert NOISE.level == pytest.approx(0.0455, abs=1e-4)


@pytest.mark.parametrize("field", ["deviations", "equivalent_fid_relative", "equivalent_clip"])
def test_what_no_noise_can_be_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=f"{field}: -1 is negative"):
        Noise(NOISE.rungs, **{field: -1})
    with pytest.raises(InputError, match=r"degrees_of_freedom: 0\.5 is too few"):
        Noise(NOISE.rungs, degrees_of_freedom=0.5)


def test_the_mean_of_runs_is_geometric_in_fid() -> None:
    mean = mean_point([Point.of(10.0, 0.2), Point.of(40.0, 0.4)])
    assert mean.fid == pytest.approx(20.0) and mean.clip == pytest.approx(0.3)


@pytest.mark.parametrize("field", ["fid_relative", "clip"])
def test_a_deviation_below_zero_is_refused_with_its_step(field: str) -> None:
    with pytest.raises(InputError, match=rf"{field}: -0\.1 at step 400 is no deviation"):
        replace(NOISE.rungs[0], **{field: -0.1})

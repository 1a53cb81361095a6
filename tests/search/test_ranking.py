"""Fronts against brute force, hypervolume against Optuna's, and what the verdicts' words need."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from search.ranking import (
    Noise,
    Objectives,
    Point,
    RungNoise,
    best_first,
    fronts,
    hypervolume,
    verdict,
    verdicts,
)
from space.plain import InputError
from tests.search.histories import MD, MD_LITE, RUNGS, confirm, end, open_run, propose, score

NOISE = Noise((RungNoise(400, 0.1, 0.02),), deviations=2.0)
# a coarse grid, so that ties in one score and equal points are common
POINTS = st.lists(
    st.builds(Point, st.integers(0, 6).map(float), st.integers(0, 6).map(lambda n: n / 8)), max_size=24
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
    reference = Point(5.0, 0.1)
    losses = np.array([[p.fid, -p.clip] for p in points if p.fid <= 5.0 and p.clip >= 0.1])
    theirs = compute_hypervolume(losses, np.array([5.0, -0.1])) if len(losses) else 0.0
    assert hypervolume(points, reference) == pytest.approx(theirs)


def test_hypervolume_of_two_points_worked_by_hand() -> None:
    # (10 - 2) * (.4 - 0) and, above it, (10 - 6) * (.7 - .4)
    assert hypervolume([Point(2, 0.4), Point(6, 0.7)], Point(10, 0)) == pytest.approx(3.2 + 1.2)


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
def test_best_first_is_by_front_then_by_own_hypervolume(
    tmp_path_factory: pytest.TempPathFactory, points: list[Point]
) -> None:
    trials = _record_of(tmp_path_factory.mktemp("run"), points)
    order = [trial.number for trial in best_first(trials, Objectives())]
    assert sorted(order) == list(range(len(points)))
    if not points:
        return
    ranks = peeled(points)
    bound = Point(max(p.fid for p in points) * 1.01, min(p.clip for p in points) - 0.01)

    def own(index: int) -> float:
        front = [points[i] for i in range(len(points)) if ranks[i] == ranks[index] and i != index]
        return hypervolume([*front, points[index]], bound) - hypervolume(front, bound)

    for before, after in pairwise(order):
        assert ranks[before] <= ranks[after]
        if ranks[before] == ranks[after]:
            assert own(before) >= own(after) - 1e-9


def test_only_complete_trials_can_be_best(tmp_path: Path) -> None:
    points = [Point(5, 0.9), Point(9, 0.1), Point(1, 0.99)]
    trials = _record_of(tmp_path, points, ["halted", "complete", "failed"])
    assert [trial.number for trial in best_first(trials, Objectives())] == [1]


# ---------------------------------------------------------------------- verdicts


def _verdict(mine: list[Point], theirs: list[Point]) -> str:
    return verdict("trial 1", mine, "md", theirs, 400, NOISE).word


def test_verdicts_of_one_seed() -> None:
    """Noise of one run: FID 2 * sqrt(2) * 10 % of 10, which is 2.83; CLIP 2 * sqrt(2) * .02 = .057."""
    md = [Point(10, 0.5)]
    assert _verdict([Point(7, 0.5)], md) == "better"
    assert _verdict([Point(7, 0.44)], md) == "undecided"  # better in one, worse in the other
    assert _verdict([Point(7, 0.45)], md) == "better"  # not worse beyond noise
    assert _verdict([Point(8, 0.55)], md) == "undecided"
    assert _verdict([Point(10, 0.56)], md) == "better"
    assert _verdict([Point(14, 0.5)], md) == "worse"
    assert _verdict([Point(14, 0.43)], md) == "worse"
    assert _verdict([Point(10, 0.5)], md) == "undecided"


def test_more_seeds_decide_what_one_leaves_open() -> None:
    mine, theirs = [Point(8, 0.5)], [Point(10, 0.5)]
    assert _verdict(mine, theirs) == "undecided"
    assert _verdict(mine * 3, theirs * 3) == "better"
    found = verdict("trial 1", mine * 4, "md", theirs * 4, 400, NOISE)
    assert found.fid_noise == pytest.approx(2 * (2 / 4) ** 0.5 * 0.1 * fmean([8, 10]))
    assert found.clip_noise == pytest.approx(2 * (2 / 4) ** 0.5 * 0.02)
    assert "4 seeds of 400 steps" in found.sentence()


def test_equal_networks_are_seldom_told_apart() -> None:
    """Two runs of one network, drawn with the stated noise: "better" or "worse" in at most a tenth."""
    generator = np.random.default_rng(0)

    def draw() -> list[Point]:
        return [Point(10 * (1 + generator.normal(0, 0.1)), 0.5 + generator.normal(0, 0.02)) for _ in range(2)]

    decided = sum(_verdict(draw(), draw()) != "undecided" for _ in range(1000))
    assert 20 < decided < 110  # two scores at 2 sd: about 9 in 100


def test_a_planted_worse_network_is_worse_and_seeds_are_paired(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    confirm(record, "md", MD, [(10, 0.5), (11, 0.51), (1, 0.99)])
    confirm(record, "md_lite", MD_LITE, [(11, 0.49), (12, 0.5)])
    confirm(record, "trial 3", MD_LITE, [(40, 0.1), (42, 0.12)])
    record.close()
    found = verdicts(record.history, Objectives(), NOISE, ["md", "md_lite"])
    assert [(v.name, v.against, v.word, v.seeds) for v in found] == [
        ("trial 3", "md", "worse", 2),
        ("trial 3", "md_lite", "worse", 2),
    ]
    assert found[0].fid_difference == pytest.approx(41 - 10.5)  # md's third seed has no partner


def test_noise_is_that_of_the_nearest_step() -> None:
    noise = Noise((RungNoise(100, 0.3, 0.1), RungNoise(400, 0.1, 0.02)))
    assert noise.at(800).step == 400
    assert noise.at(150).step == 100
    with pytest.raises(InputError, match="rungs"):
        Noise(())

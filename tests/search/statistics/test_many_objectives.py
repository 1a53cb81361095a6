"""Any number of objectives against brute force, and against the shorter ways of two."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from itertools import product
from operator import le

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume
from scipy import stats

from search.objectives import Objective
from search.statistics.noise import Noise, RungNoise, beats
from search.statistics.pareto import (
    Point,
    best_order,
    exclusive_of_many,
    exclusive_of_two,
    fronts,
    fronts_of_many,
    hypervolume,
    mean_point,
    rank_sums,
    reference_past,
    volume,
)
from search.statistics.verdicts import Evidence, Verdict
from tests.search.statistics.test_ranking import POINTS, peeled
from tests.search.three import NOISE_OF_THREE, three

KNOWN = replace(NOISE_OF_THREE, degrees_of_freedom=1e9)
UNSTATED = Noise((RungNoise(400, 0.05, 0.02),), degrees_of_freedom=1e9)
# a coarse grid, so that ties and equal points are common
OF_THREE = st.lists(
    st.builds(
        lambda a, b, c: three(1.0 + a, b / 8, 1.0 + c),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    max_size=14,
)
LOSSES = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 3), max_size=9)


@given(POINTS)
def test_the_short_way_of_two_gives_the_general_fronts(points: list[Point]) -> None:
    assert fronts(points) == fronts_of_many([point.losses for point in points])


@given(POINTS)
def test_the_short_way_of_two_gives_the_general_exclusive_volumes(points: list[Point]) -> None:
    if not points:
        return
    reference, ranks = reference_past(points).losses, fronts(points)
    front = sorted(point.losses for point, rank in zip(points, ranks, strict=True) if rank == 0)
    assert exclusive_of_two(front, reference) == pytest.approx(exclusive_of_many(front, reference), abs=1e-12)


@given(OF_THREE)
def test_fronts_of_three_equal_peeling(points: list[Point]) -> None:
    assert fronts(points) == peeled(points)


@given(LOSSES)
def test_a_volume_of_three_is_the_cells_that_are_dominated(losses: list[tuple[float, ...]]) -> None:
    """On a grid of whole numbers every unit cell is dominated wholly or not at all."""
    cells = list(product(range(4), repeat=3))
    dominated = sum(any(all(map(le, own, cell)) for own in losses) for cell in cells)
    assert volume(losses, (4.0, 4.0, 4.0)) == dominated


@given(OF_THREE)
def test_a_volume_of_three_equals_optunas(points: list[Point]) -> None:
    if not points:
        return
    reference = reference_past(points)
    theirs = compute_hypervolume(np.array([p.losses for p in points]), np.array(reference.losses))
    assert hypervolume(points, reference) == pytest.approx(theirs)


def test_volumes_of_one_and_of_four_objectives() -> None:
    assert volume([(2.0,), (1.0,)], (4.0,)) == 3.0 and volume([(5.0,)], (4.0,)) == 0.0
    box = [(0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, -1.0)]  # 16, and above it a cube of one by one by one
    assert volume(box, (2.0, 2.0, 2.0, 1.0)) == 8.0 + 1.0


def test_best_first_is_by_front_then_by_what_each_adds_alone() -> None:
    points = [
        three(10, 0.5, 1.0),
        three(10, 0.5, 2.0),  # behind the first
        three(20, 0.5, 0.5),  # on the front by its loss alone
        three(5, 0.2, 1.0),  # by its FID
        three(5, 0.9, 3.0),
    ]
    assert fronts(points) == [0, 1, 0, 0, 0]
    order = best_order(points)
    assert order[-1] == 1
    reference = reference_past(points)
    whole = hypervolume([p for p, rank in zip(points, fronts(points), strict=True) if rank == 0], reference)
    alone = {
        index: whole - hypervolume([points[other] for other in order[:-1] if other != index], reference)
        for index in order[:-1]
    }
    assert order[:-1] == sorted(alone, key=lambda index: -alone[index])


def test_ranks_and_means_are_of_each_objective() -> None:
    points = [three(1, 0.1, 4.0), three(2, 0.3, 1.0), three(3, 0.2, 2.0)]
    assert rank_sums(points) == [0 + 2 + 2, 1 + 0 + 0, 2 + 1 + 1]
    mean = mean_point([three(10, 0.2, 1.0), three(40, 0.4, 4.0)])
    assert mean.values == pytest.approx((20.0, 0.3, 2.0))
    assert (mean.fid, mean.clip) == mean.values[:2]
    more_is_better = Point((1.0,), (Objective("inception_score", "maximize", "log"),))
    assert Point((2.0,), more_is_better.objectives).dominates(more_is_better)
    assert more_is_better.gains_over(Point((2.0,), more_is_better.objectives)) == [-math.log(2)]


def test_a_point_has_a_value_for_each_objective() -> None:
    with pytest.raises(ValueError, match="1 values for 2"):
        Point((1.0,))
    with pytest.raises(TypeError, match=r"Point\.of\(fid, clip\)"):
        Point(1.0, 0.5)  # type: ignore[arg-type]


def test_a_large_front_of_three_is_ordered_in_seconds() -> None:
    chance = np.random.default_rng(0)
    losses = chance.uniform(0.1, 1.0, (250, 3))
    losses /= np.linalg.norm(losses, axis=1)[:, None]  # of one sphere: nobody dominates
    points = [three(a, -b, c) for a, b, c in losses.tolist()]
    began = time.process_time()
    order = best_order(points)
    assert time.process_time() - began < 20.0
    assert fronts(points) == [0] * 250 and sorted(order) == list(range(250))


@given(LOSSES)
def test_what_each_adds_alone_is_what_the_volume_loses_without_it(losses: list[tuple[float, ...]]) -> None:
    reference = (5.0, 5.0, 5.0)
    for place, share in enumerate(exclusive_of_many(losses, reference)):
        without = volume([*losses[:place], *losses[place + 1 :]], reference)
        assert share == volume(losses, reference) - without  # whole numbers: exact


# ---------------------------------------------------------------------- noise and verdicts


def test_whom_a_third_objective_speaks_for_is_not_beaten() -> None:
    one = three(10, 0.5, 1.0)
    assert beats(one, three(20, 0.5, 1.0), KNOWN, 400)
    assert beats(one, three(20, 0.5, 0.95), KNOWN, 400)  # ahead within the noise
    assert not beats(one, three(20, 0.5, 0.9), KNOWN, 400)
    assert beats(one, three(10, 0.5, 1.2), KNOWN, 400)  # by the third alone
    assert not beats(one, three(20, 0.4, 2.0), UNSTATED, 400)  # of unknown noise: nobody is beaten


def verdict(mine: list[Point], theirs: list[Point], noise: Noise) -> Verdict:
    runs = {"a": dict(enumerate(mine)), "b": dict(enumerate(theirs))}
    found = Evidence(runs, 400, noise).verdict("a", "b")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("mine", "word"),
    [
        (three(10, 0.5, 0.8), "better"),
        (three(10, 0.5, 1.25), "worse"),
        (three(5, 0.5, 1.05), "better"),
        (three(5, 0.5, 1.25), "mixed"),
        (three(10, 0.5, 1.0), "undecided"),
    ],
)
def test_words_of_three(mine: Point, word: str) -> None:
    assert verdict([mine], [three(10, 0.5, 1.0)], KNOWN).word == word


def test_equal_networks_are_equivalent_once_all_three_are_known_to_be() -> None:
    same = [three(10, 0.5, 1.0)] * 40
    unsaid = replace(KNOWN, equivalent_fid_relative=0.2, equivalent_clip=0.1, equivalent_others={})
    assert verdict(same, same, unsaid).word == "undecided"
    said = replace(unsaid, equivalent_others={"validation_loss": 0.2})
    assert verdict(same, same, said).word == "equivalent"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6))
def test_each_of_three_has_a_third_of_the_level(seeds: int) -> None:
    found = verdict([three(10, 0.5, 1.0)] * seeds, [three(10, 0.5, 1.0)] * seeds, KNOWN)
    level = KNOWN.level / (seeds * (seeds + 1)) / 3
    freedom = 1e9 + seeds - 1
    variance = 1e9 * 0.02**2 / freedom
    expected = stats.t(freedom).ppf(1 - level / 2) * (2 * variance / seeds) ** 0.5
    assert found.difference("CLIP").high == pytest.approx(expected, rel=1e-6)


def test_without_a_stated_noise_nothing_is_decided_until_seeds_show_one() -> None:
    """Not even what the two others say clearly: the third may be the other way round."""
    ahead, behind = [three(5, 0.5, 1.0)], [three(10, 0.5, 1.0)]
    first = verdict(ahead, behind, UNSTATED)
    assert first.word == "undecided" and not first.difference("validation_loss").known
    assert first.difference("FID").known and "validation_loss +0%, of unknown noise" in first.sentence()
    assert verdict([three(5, 0.3, 1.0)], behind, UNSTATED).word == "mixed"  # whatever the third says
    shifts = [0.0, 0.01, -0.01, 0.005]
    mine = [three(5, 0.5, math.exp(shift)) for shift in shifts]
    theirs = [three(10, 0.5, math.exp(-shift)) for shift in shifts]
    assert verdict(mine, theirs, UNSTATED).word == "better"

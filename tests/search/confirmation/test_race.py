"""Simulated races with planted differences: how often they are wrong, and where the seeds go."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

import pytest

from benchmarks.race import World, ever_told_apart, is_found, is_found_by_plan, race, ran, run_of, stated
from search.statistics.noise import Noise, RungNoise

NOISE = Noise((RungNoise(400, 0.2, 0.05),))


# ---------------------------------------------------------------------- how often it is wrong


def test_equal_networks_are_told_apart_no_more_often_than_stated() -> None:
    """600 races of two equal networks over up to 8 seeds, looked at after every run; the stated noise is an
    estimate, as it says. At most the level of 4.55 % may ever be wrong."""
    wrong = sum(
        ever_told_apart(it, ran(it, World(number)))
        for number in range(600)
        for it in [race(2, 0, 8, stated(number))]
    )
    assert wrong <= 600 * NOISE.level


def test_a_noise_stated_too_small_by_half_is_found_out() -> None:
    """Taken as exact, it would make most of the verdicts on equal networks wrong. Stated with two
    degrees of freedom it is put right by the spread of the race's own runs, but for less than one in five."""
    halved = (RungNoise(400, 0.1, 0.025),)
    wrong = [
        sum(ever_told_apart(it, ran(it, World(number))) for number in range(150))
        for freedom in (2, 1e9)
        for it in [race(2, 0, 8, Noise(halved, degrees_of_freedom=freedom))]
    ]
    assert wrong[0] < 30 < 60 < wrong[1]


# ---------------------------------------------------------------------- where the seeds go


def test_a_network_without_another_repeats_until_its_noise_is_known() -> None:
    """Nothing is open, yet nobody has measured what is noise: by seven runs, six repeats, somebody has."""
    unknown, known = race(1, 0, 24, NOISE.unknown), race(1, 0, 24, NOISE)
    assert len(ran(unknown, World(0))) == 7 and len(ran(known, World(0))) == 1
    assert race(0, 0, 24, NOISE.unknown).at([]).next_move() is None


def test_a_better_network_is_found_with_fewer_runs_than_a_plan_takes() -> None:
    """One of three finalists is better than two others and two references by 3 deviations. A plan that gives
    everybody 3 seeds (15 runs) and looks once at the end does not always find it."""
    worlds = range(60)
    races = [race(3, 2, 12, stated(number)) for number in worlds]
    runs = [ran(it, World(number, {"trial 1": 3.0})) for number, it in enumerate(races)]
    assert all(is_found(it.at(own), "trial 1") for it, own in zip(races, runs, strict=True))
    plans = [race(3, 2, 3, stated(number)) for number in worlds]
    by_plan = [is_found_by_plan(World(n, {"trial 1": 3.0}), plan, "trial 1") for n, plan in enumerate(plans)]
    assert fmean(map(len, runs)) < 15 and not all(by_plan)


def test_clearly_worse_networks_get_few_seeds() -> None:
    """Two equal finalists and two that are worse by 6 deviations: the seeds go to the equal ones."""
    it = race(4, 0, 10, NOISE)
    counts: Counter[str] = Counter()
    for number in range(30):
        world = World(number, {"trial 1": -6.0, "trial 3": -6.0})
        counts.update(trial.name for trial in ran(it, world))
    assert counts["trial 0"] + counts["trial 2"] == 2 * 30 * 10
    assert counts["trial 1"] + counts["trial 3"] < 2 * 30 * 2


def test_the_comparison_that_is_nearest_to_a_decision_goes_first() -> None:
    """After two seeds trial 0 is far ahead of reference 0 and level with reference 1."""
    it = race(1, 2, 8, NOISE)
    points = {"trial 0": (10.0, 0.5), "reference 0": (20.0, 0.35), "reference 1": (10.0, 0.5)}
    runs = [run_of(name, seed, *point) for seed in (0, 1) for name, point in points.items()]
    first = it.at(runs).next_move()
    assert first is not None and (first.name, first.seed) == ("trial 0", 2)
    said = "trial 0 against reference 0 is undecided after 2 shared seeds; 2 further runs should decide it"
    assert first.why == said
    second = it.at([*runs, run_of("trial 0", 2, *points["trial 0"])]).next_move()
    assert second is not None and (second.name, second.seed) == ("reference 0", 2)


def test_who_is_out_is_compared_no_more() -> None:
    it = race(2, 1, 8, NOISE)
    points = {"trial 0": (10.0, 0.5), "trial 1": (90.0, 0.1), "reference 0": (10.0, 0.5)}
    runs = [run_of(name, seed, *point) for seed in (0, 1) for name, point in points.items()]
    standing = it.at(runs)
    assert standing.still_in == ("trial 0",)
    assert standing.open_pairs == [("trial 0", "reference 0")]


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_with_more_workers_every_run_is_another_and_seeds_stay_shared(workers: int) -> None:
    it = race(2, 2, 6, NOISE)
    runs = ran(it, World(5, {"trial 1": -2.0}), workers)
    assert len({(trial.name, trial.seed) for trial in runs}) == len(runs)
    for name in (*it.finalists, *it.references):
        seeds = sorted(trial.seed for trial in runs if trial.name == name)
        assert seeds == list(range(len(seeds)))


def test_a_race_is_a_function_of_its_runs_alone() -> None:
    runs = ran(race(3, 2, 8, NOISE), World(7))
    again = race(3, 2, 8, NOISE)
    moves = [again.at(runs[:count]).next_move() for count in range(len(runs))]
    assert [(move.name, move.seed) for move in moves if move] == [(run.name, run.seed) for run in runs]

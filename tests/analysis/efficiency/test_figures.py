"""Figures of strategies, worked out by hand."""

import math

import numpy as np
import pytest

from analysis.efficiency.figures import (
    BASE,
    DEFAULT,
    StrategyFigures,
    figure,
    gain_rows,
    mean,
    oracle,
    ratio_of_means,
    ratio_of_sums,
    steps_rows,
    word_for_ratio,
)
from search.statistics.verdicts import Interval


def test_the_oracles_steps_by_hand():
    assert oracle([1, 5, 11], 0.25) == [1, 2, 3.5]


@pytest.mark.parametrize(
    ("first_rung", "shown"),
    [(0.1, ["oracle at the first rung", "oracle at a quarter"]), (0.25, ["oracle at the first rung"])],
)
def test_an_oracle_at_a_quarter_has_its_own_row_unless_the_first_rung_is_there(first_rung, shown):
    one = StrategyFigures(draws=[0, 1], steps=[4.0, 6.0], minutes=[4.0, 6.0], never=[False] * 2)
    one.top_tried, one.top_stopped = [1, 1], [0, 0]
    rows = steps_rows({BASE: one, DEFAULT: one}, first_rung)
    assert [row["strategy"] for row in rows] == [BASE, DEFAULT, *shown]


def test_seeds_pair_strategies():
    """Three times the steps at every seed: a ratio of three, known exactly, however the seeds differ."""
    own = [1.0, 2.0, 7.0, 30.0]
    found = figure(ratio_of_means, [3 * steps for steps in own], own)
    assert (found.middle, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_ratios_by_hand():
    base, own = np.array([4.0, 6.0, 20.0]), np.array([1.0, 3.0, 2.0])
    assert ratio_of_means(base, own) == 5
    assert ratio_of_sums(np.array([1, 0, 2]), np.array([2, 2, 2])) == 0.5
    assert ratio_of_sums(np.zeros(3), np.zeros(3)) == 0  # nobody of the top was tried


def test_an_interval_of_a_mean_is_the_textbooks_and_the_same_each_time():
    values = np.random.default_rng(1).normal(10, 3, 400)
    found = figure(mean, values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert found.middle == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
    assert figure(mean, values) == found


def test_an_interval_over_few_draws_is_as_wide_as_students():
    values = np.random.default_rng(1).normal(10, 3, 20)
    found = figure(mean, values)
    half = 2.093 * values.std(ddof=1) / math.sqrt(20)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)


def test_what_stopping_gains_by_hand():
    base = StrategyFigures(draws=[0, 0, 1, 1], steps=[6.0, 6.0, 3.0, 9.0], top_stopped=[0] * 4)
    own = StrategyFigures(draws=[0, 0, 1, 1], steps=[3.0, 5.0, 2.0, 6.0], top_stopped=[1, 0, 0, 0])
    own.top_tried, own.trials, own.stopped = [2, 1, 1, 1], [10, 10, 5, 15], [4, 2, 1, 3]
    (row,) = gain_rows({"none": base, "a rule": own}, {"a rule": "none"}, 0.25)
    assert row["strategy"] == "a rule" and row["without stopping"].startswith("6.0 ")
    assert row["with"].startswith("4.0 ") and row["times fewer"].startswith("1.50 ")
    assert row["an oracle's, at the first rung"].startswith("2.67 ")  # 6 of (6 - 1) / 4 + 1
    assert row["stopped, of all trials"].startswith("25% ") and row["of the top"].startswith("20% ")


def test_a_draw_is_the_mean_of_its_seeds():
    one, more = (
        StrategyFigures(draws=draws, steps=steps, place={4.0: list(steps)})
        for draws, steps in (([0, 0], [1.0, 2.0]), ([1, 1], [5.0, 8.0]))
    )
    one.extend(more)
    assert one.by_draw(one.steps) == [1.5, 6.5] and one.by_draw(one.place[4.0]) == [1.5, 6.5]


@pytest.mark.parametrize(
    ("interval", "said"),
    [((1.2, 1.1, 1.3), "ahead"), ((1.2, 0.9, 1.5), "undecided"), ((0.8, 0.7, 0.9), "behind")],
)
def test_inside_the_interval_is_undecided(interval, said):
    assert word_for_ratio(Interval(*interval)) == said

"""Times in turns, intervals of medians, and whether a machine was quiet: all by made clocks."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from scipy.stats import binom

from evaluators.latency.quiet import CpuMoment, Quietness, quietness
from evaluators.latency.timing import Timing, alternating, order_rank, rounds_within


def test_runs_take_turns_and_inputs_rotate() -> None:
    calls: list[tuple[str, int]] = []
    ticks = count(step=0.001)  # a clock that is read twice a run
    runs = {name: lambda number, name=name: calls.append((name, number)) for name in "ab"}
    found = alternating(runs, 3, warm_up=1, clock=lambda: next(ticks))
    assert "".join(name for name, _ in calls) == "ba" + "ab" + "ba" + "ab"
    assert [number for name, number in calls if name == "a"] == [0, 1, 2, 3]
    assert found["a"].times == pytest.approx((1, 1, 1))  # warm-up left out


def test_a_run_with_a_clock_of_its_own_is_believed() -> None:
    found = alternating({"gpu": lambda number: 5.0 + number}, 2, warm_up=1)
    assert found["gpu"].times == (6, 7)


@pytest.mark.parametrize("rounds", [1, 5, 6, 9, 11, 21, 40])
def test_the_interval_covers_the_median_95_times_of_100(rounds: int) -> None:
    """The tails outside of the two order statistics, by scipy's binomial distribution."""
    rank = order_rank(rounds)
    if rounds < 6:
        assert rank == 0
    else:
        assert 2 * binom.cdf(rank, rounds, 0.5) <= 0.05 < 2 * binom.cdf(rank + 1, rounds, 0.5)


def test_a_timing_by_hand() -> None:
    timing = Timing((5.0, 1.0, 2.0, 3.0, 4.0, 100.0, 6.0, 7.0))
    assert timing.median == 4.5
    assert timing.interval == (1.0, 100.0)  # of eight, the outermost
    assert timing.middle == (3.0, 4.0, 5.0, 6.0)
    assert timing.mean == 4.5
    assert timing.spread == pytest.approx(1.25**0.5)


def test_rounds_fill_the_time_within_bounds() -> None:
    assert rounds_within(2.0, 100, 5, 50) == 20
    assert rounds_within(2.0, 10_000, 5, 50) == 5
    assert rounds_within(2.0, 0, 5, 50) == rounds_within(float("inf"), 100, 5, 50) == 50


def test_what_others_do_is_seen() -> None:
    """In ten seconds the machine was busy for nineteen CPU seconds, ten of them ours."""
    steady = [Timing((10.0,) * 8)]
    busy = quietness(CpuMoment(0, 100, 7), CpuMoment(10, 119, 17), 2, steady)
    assert (busy.others, busy.spread, busy.believable) == (pytest.approx(0.9), 0, False)
    assert "NOT quiet: other processes kept 0.90 of 2 CPUs busy" in busy.sentence()
    assert "0.90 of 1 CPU busy" in replace(busy, cpus=1).sentence()
    quiet = quietness(CpuMoment(0, 100, 7), CpuMoment(10, 110.5, 17), 2, steady)
    assert quiet.believable and quiet.sentence().startswith("quiet enough: ")
    restless = [Timing((9.0, 9.0, 9.0, 10.0, 10.0, 11.0, 11.0, 11.0))]
    assert quietness(CpuMoment(0, 0, 0), CpuMoment(10, 10, 10), 2, restless).spread == pytest.approx(0.1)
    assert not quietness(CpuMoment(0, 0, 0), CpuMoment(10, 10, 10), 2, restless).believable
    once = quietness(CpuMoment(0, 0, 0), CpuMoment(10, 10, 10), 2, [Timing((9.0,))])
    assert once.spread is None and "rounds lay" not in once.sentence()  # one round is near to no other


def test_a_moment_of_this_machine() -> None:
    """Whatever else runs, this process's own seconds are among the busy ones."""
    begin = CpuMoment.now()
    sum(range(2_000_000))
    end = CpuMoment.now()
    assert end.at > begin.at and end.busy >= begin.busy and end.own > begin.own
    assert isinstance(quietness(begin, end, 2, []), Quietness)

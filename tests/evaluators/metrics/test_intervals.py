"""Intervals against simulated truth: of samples generated again and again, so many hold what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.fid import World
from evaluators.metrics.fid_intervals import distances
from evaluators.metrics.intervals import bootstrap_of_mean, groups_of, jackknife

REPEATS = 150
LEAST_COVERED = 0.90  # of a nominal .95; three deviations of the count of 150


@pytest.mark.parametrize(("width", "count"), [(8, 400), (24, 300)])
def test_fid_intervals_cover_the_truth(width: int, count: int) -> None:
    """That of N samples covers the mean FID of N, the extrapolated one the distance itself."""
    world, rng = World(width), np.random.default_rng(0)
    found = [distances(world.sample(count, rng), world.reference) for _ in range(REPEATS)]
    mean = np.mean([one.fid for one in found])
    assert mean > 1.02 * world.truth  # an FID of N samples is too large ...
    infinities = np.array([one.fid_infinity for one in found])
    error = infinities.std(ddof=1) / np.sqrt(REPEATS)
    assert abs(infinities.mean() - world.truth) < 3 * error + 0.02 * world.truth  # ... which this takes away
    for truth, intervals in (
        (mean, [one.fid_interval for one in found]),
        (world.truth, [one.infinity_interval for one in found]),
    ):
        covered = [one is not None and one.low <= truth <= one.high for one in intervals]
        assert np.mean(covered) >= LEAST_COVERED


def test_fid_intervals_are_not_far_too_wide() -> None:
    """Half an interval is a t quantile of the deviation; 1.96 of it would be enough if that were known."""
    world, rng = World(8), np.random.default_rng(1)
    found = [distances(world.sample(400, rng), world.reference) for _ in range(60)]
    deviation = np.std([one.fid for one in found], ddof=1)
    halves = [(one.fid_interval.high - one.fid_interval.low) / 2 for one in found if one.fid_interval]
    assert 0.7 * 2.26 * deviation < np.mean(halves) < 1.4 * 2.26 * deviation


def test_a_bootstrap_covers_the_mean() -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(REPEATS):
        interval = bootstrap_of_mean(rng.beta(2, 5, 150))
        covered.append(interval.low <= 2 / 7 <= interval.high)
    assert np.mean(covered) >= LEAST_COVERED


def test_a_jackknife_of_a_mean_is_students_interval() -> None:
    """Leaving out one of ten equal groups gives exactly t times the deviation of their means over root 10."""
    values = np.random.default_rng(3).normal(size=(10, 7))
    left_out = [np.delete(values, group, axis=0).mean() for group in range(10)]
    interval = jackknife(values.mean(), left_out, "samples")
    half = stats.t.ppf(0.975, 9) * values.mean(axis=1).std(ddof=1) / np.sqrt(10)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_groups_are_even_random_and_the_same_again() -> None:
    groups = groups_of(103)
    assert groups is not None and set(np.bincount(groups)) == {10, 11}
    assert np.array_equal(groups, groups_of(103)) and not np.array_equal(groups, np.arange(103) % 10)
    few = groups_of(8)
    assert few is not None and np.bincount(few).tolist() == [2, 2, 2, 2]
    assert groups_of(7) is None


def test_too_few_samples_have_a_distance_without_an_interval() -> None:
    world, rng = World(4), np.random.default_rng(4)
    found = distances(world.sample(5, rng), world.reference)
    assert found.fid > 0 and found.fid_interval is None and found.fid_infinity is None


def test_intervals_change_no_distance() -> None:
    world, rng = World(8), np.random.default_rng(5)
    samples = world.sample(200, rng)
    alone = distances(samples, world.reference, intervals=False).fid
    assert distances(samples, world.reference).fid == pytest.approx(alone, rel=1e-9)

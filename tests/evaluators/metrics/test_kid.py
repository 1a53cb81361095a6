"""KID against torchmetrics, clean-fid's formula and a closed form; its interval against a known truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from evaluators.metrics.kid import kernel_distance, subset_rows


def test_equals_torchmetrics_on_whole_sets() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 16)), rng.standard_normal((60, 16)) + 0.2
    expected = poly_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert kernel_distance(x, y)[0] == pytest.approx(float(expected), rel=1e-10)


def test_whole_sets_are_one_subset_however_many_are_asked_for() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((40, 8)), rng.standard_normal((40, 8))
    (many, interval), (one, _) = kernel_distance(x, y), kernel_distance(x, y, subsets=1)
    assert many == one and interval is not None and "in 1 subsets of 40" in interval.method


def test_subsets_average_as_published() -> None:
    """The mean of clean-fid's formula over the subsets that are sampled."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((70, 8)), 1.3 * rng.standard_normal((55, 8))
    chance = np.random.default_rng(0x1D)
    pairs = zip(subset_rows(70, 20, chance), subset_rows(55, 20, chance), strict=False)
    total = 0.0
    for _, (rows, real) in zip(range(9), pairs, strict=False):
        a, b, m, width = x[rows], y[real], 20, 8
        within = (a @ a.T / width + 1) ** 3 + (b @ b.T / width + 1) ** 3
        across = (a @ b.T / width + 1) ** 3
        total += (within.sum() - np.trace(within)) / (m - 1) / m - across.sum() * 2 / m / m
    assert kernel_distance(x, y, subsets=9, subset_size=20)[0] == pytest.approx(total / 9, rel=1e-10)


def test_subsets_use_every_sample_equally_often() -> None:
    subsets = subset_rows(10, 3, np.random.default_rng(0))
    rows = [next(subsets) for _ in range(30)]  # three of a shuffle, one sample left over
    assert all(len(set(own)) == 3 for own in rows)
    assert all(len(set(np.concatenate(rows[start : start + 3]))) == 9 for start in range(0, 30, 3))


def test_equal_sets_are_near_zero_and_others_are_not() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((400, 8)), rng.standard_normal((400, 8))
    near, interval = kernel_distance(x, y)
    assert interval is not None and interval.low < 0 < interval.high
    far, apart = kernel_distance(2 * x, y)
    assert apart is not None and apart.low > 10 * abs(near) and far > apart.low


def expected_kernel(a: np.ndarray, A: np.ndarray, b: np.ndarray, B: np.ndarray) -> float:
    """E (x y / d + 1)^3 for independent Gaussians: from the first three moments of x y."""
    first = a @ b
    second = first**2 + np.trace(A @ B) + a @ B @ a + b @ A @ b
    third = first**3 + 3 * first * (a @ B @ a + b @ A @ b + np.trace(A @ B)) + 6 * a @ B @ A @ b
    d = len(a)
    return float(1 + 3 * first / d + 3 * second / d**2 + third / d**3)


def test_the_interval_covers_a_known_distance() -> None:
    """Of 120 sets 95 % should; 88 % to all of them is three deviations of that count."""
    rng = np.random.default_rng(3)
    mean, covariance = np.full(6, 0.2), 1.2 * np.eye(6)
    real = rng.standard_normal((300, 6))
    kernel = (real @ real.T / 6 + 1) ** 3
    own = (kernel.sum() - np.trace(kernel)) / (300 * 299)
    across = np.mean([expected_kernel(mean, covariance, row, np.zeros((6, 6))) for row in real])
    truth = expected_kernel(mean, covariance, mean, covariance) + own - 2 * across
    covered = []
    for _ in range(120):
        samples = mean + np.sqrt(1.2) * rng.standard_normal((300, 6))
        value, interval = kernel_distance(samples, real, subsets=10)
        assert interval is not None and interval.low < value < interval.high
        covered.append(interval.low <= truth <= interval.high)
    assert np.mean(covered) >= 0.88


def test_sets_that_do_not_compare_are_refused() -> None:
    with pytest.raises(ValueError, match="two or more of one width"):
        kernel_distance(np.zeros((5, 3)), np.zeros((5, 4)))
    with pytest.raises(ValueError, match="two or more of one width"):
        kernel_distance(np.zeros((1, 3)), np.zeros((5, 3)))

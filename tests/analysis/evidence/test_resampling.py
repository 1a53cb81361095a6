"""Rank correlations and intervals against scipy's, and Holm's adjustment by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, spearmanr

from analysis.evidence.resampling import bootstrap_interval, holm, percentiles, share_interval, spearman


def test_rank_correlation_is_scipys_ties_too() -> None:
    chance = np.random.default_rng(0)
    rows = np.round(chance.normal(size=(5, 12, 2)), 1)
    expected = [spearmanr(each[:, 0], each[:, 1]).statistic for each in rows]
    assert spearman(rows) == pytest.approx(expected)
    assert np.isnan(spearman(np.ones((1, 5, 2)))).all()


def test_the_bootstrap_is_the_same_each_time_and_wants_networks() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    found = bootstrap_interval(rows, spearman)
    assert (
        found == bootstrap_interval(rows, spearman)
        and found is not None
        and found.low < found.middle < found.high
    )
    assert bootstrap_interval(rows[:3], spearman) is None
    assert percentiles(float("nan"), np.zeros(3)) is None


def test_shares_have_the_exact_interval() -> None:
    for caught, of in ((0, 4), (3, 8), (5, 5)):
        exact = binomtest(caught, of).proportion_ci(0.95, method="exact")
        found = share_interval(caught, of)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert share_interval(0, 0) is None


def test_holm_by_hand() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []

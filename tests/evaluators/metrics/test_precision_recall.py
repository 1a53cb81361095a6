"""Precision and recall against a computation without blocks; what is left out, against computing it anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from evaluators.metrics import precision_recall as module
from evaluators.metrics.intervals import groups_of, jackknife
from evaluators.metrics.precision_recall import precision_recall


def plainly(samples: np.ndarray, references: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """Kynkäänniemi et al., section 3, on whole matrices of distances."""

    def share(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.sort(cdist(centres, centres), axis=1)[:, neighbours]  # the point itself comes first
        return float((cdist(points, centres) <= radii).any(axis=1).mean())

    return share(samples, references), share(references, samples)


@pytest.fixture(params=[512, 7], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", request.param)


@pytest.mark.usefixtures("blocks")
def test_equals_the_plain_computation() -> None:
    rng = np.random.default_rng(0)
    samples, references = rng.standard_normal((90, 5)), 1.5 * rng.standard_normal((70, 5))
    found = precision_recall(samples, references)
    expected = plainly(samples, references)
    assert (found.precision, found.recall) == expected and 0.2 < expected[1] < 0.98


@pytest.mark.usefixtures("blocks")
def test_the_interval_of_recall_is_that_of_sets_without_each_group() -> None:
    rng = np.random.default_rng(1)
    samples, references = rng.standard_normal((84, 4)), 1.4 * rng.standard_normal((60, 4))
    groups = groups_of(84)
    assert groups is not None
    without = [plainly(samples[groups != group], references) for group in range(groups.max() + 1)]
    found = precision_recall(samples, references)
    expected = jackknife(found.recall, [recall for _, recall in without], "")
    interval = found.recall_interval
    assert interval is not None and 0 < expected.low < expected.high < 1
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_the_interval_of_precision_is_wilsons() -> None:
    """(p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n); z = 1.96."""
    rng = np.random.default_rng(1)
    found = precision_recall(rng.standard_normal((84, 4)), 0.7 * rng.standard_normal((60, 4)))
    p, n, z = found.precision, 84, 1.959964
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    interval = found.precision_interval
    assert interval is not None and 0.3 < p < 0.9
    expected = np.array([p + z**2 / (2 * n) - half, p + z**2 / (2 * n) + half]) / (1 + z**2 / n)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), rel=1e-5)
    apart = precision_recall(rng.standard_normal((20, 4)), rng.standard_normal((30, 4)) + 99)
    assert apart.precision_interval is not None and apart.precision_interval.high > 0.1
    assert apart.recall_interval is not None and apart.recall_interval.low == 0


def test_known_answers() -> None:
    rng = np.random.default_rng(2)
    points = rng.standard_normal((50, 3))
    same = precision_recall(points, points)
    assert (same.precision, same.recall) == (1, 1)
    apart = precision_recall(points, points + 100)
    assert (apart.precision, apart.recall) == (0, 0)
    part = precision_recall(0.05 * points, rng.standard_normal((200, 3)))
    assert part.precision > 0.9 and part.recall < 0.1


@pytest.mark.usefixtures("blocks")
def test_points_that_repeat_lie_in_their_own_balls_of_no_size() -> None:
    """Whatever the size of the products that their distances are taken from."""
    rng = np.random.default_rng(3)
    points = np.repeat(20 + 3 * rng.standard_normal((40, 256)), 15, axis=0)
    for samples in (points[rng.permutation(600)], points[:37], points[:513]):
        assert precision_recall(samples, points, intervals=False).precision == 1
    assert precision_recall(points + 1e-3, points, intervals=False).precision == 0


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 3 of one width"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))

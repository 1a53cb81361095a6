"""Precision and recall against a computation without blocks; what is left out, against computing it anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from evaluators import precision_recall as module
from evaluators.intervals import groups_of, jackknife
from evaluators.precision_recall import precision_recall


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
def test_intervals_are_those_of_sets_without_each_group() -> None:
    rng = np.random.default_rng(1)
    samples, references = rng.standard_normal((84, 4)), 1.4 * rng.standard_normal((60, 4))
    groups = groups_of(84)
    assert groups is not None
    without = [plainly(samples[groups != group], references) for group in range(groups.max() + 1)]
    found = precision_recall(samples, references)
    assert found.precision_interval is not None and found.recall_interval is not None
    for interval, value, left_out in (
        (found.precision_interval, found.precision, [one for one, _ in without]),
        (found.recall_interval, found.recall, [other for _, other in without]),
    ):
        expected = jackknife(value, left_out, "")
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_known_answers() -> None:
    rng = np.random.default_rng(2)
    points = rng.standard_normal((50, 3))
    same = precision_recall(points, points)
    assert (same.precision, same.recall) == (1, 1)
    apart = precision_recall(points, points + 100)
    assert (apart.precision, apart.recall) == (0, 0)
    part = precision_recall(0.05 * points, rng.standard_normal((200, 3)))
    assert part.precision > 0.9 and part.recall < 0.1


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 3 of one width"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))

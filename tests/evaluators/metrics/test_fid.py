"""The distance against closed forms, SciPy and torchmetrics; moments against one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from evaluators.metrics.fid import Moments, frechet_distance
from space.shared.plain import InputError


def gaussian(rng: np.random.Generator, count: int, width: int, rank: int | None = None) -> np.ndarray:
    rank = rank or width
    return rng.standard_normal((count, rank)) @ rng.standard_normal((rank, width)) + rng.standard_normal(
        width
    )


def with_moments(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    """Moments whose mean and covariance are exactly these: 2 * width samples along the principal axes."""
    width = len(mean)
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors * np.sqrt(values * (2 * width - 1) / 2)
    return Moments.of(mean + np.concatenate([axes.T, -axes.T]))


def test_distance_of_diagonal_gaussians_in_closed_form() -> None:
    """Per dimension (m - n)^2 + (s - t)^2: (1, 2; 3) against (4, 6; 1) and so on."""
    a = with_moments(np.array([1.0, -2.0, 0.0]), np.diag([4.0, 1.0, 9.0]))
    b = with_moments(np.array([4.0, -2.0, 1.0]), np.diag([1.0, 25.0, 9.0]))
    assert frechet_distance(a, b) == pytest.approx((9 + 1) + (0 + 16) + (1 + 0), abs=1e-10)


def test_distance_of_rotated_gaussians_in_closed_form() -> None:
    """In two dimensions tr((AB)^1/2) = sqrt(tr(AB) + 2 sqrt(det A det B)); here AB = [[8, 2], [4, 4]]."""
    a = with_moments(np.zeros(2), np.array([[2.0, 0.0], [0.0, 1.0]]))
    b = with_moments(np.zeros(2), np.array([[4.0, 1.0], [1.0, 4.0]]))
    expected = 3 + 8 - 2 * np.sqrt(12 + 2 * np.sqrt(2 * 15))
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-10)


def scipy_distance(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b) - 2 * np.trace(root).real)


@pytest.mark.parametrize("width", [3, 64])
def test_equals_scipy(width: int) -> None:
    rng = np.random.default_rng(width)
    x, y = gaussian(rng, 500, width), gaussian(rng, 300, width)
    traces = np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False))
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(
        scipy_distance(x, y), abs=1e-6 * traces
    )


@pytest.mark.parametrize(("count", "rank"), [(20, 64), (400, 10)], ids=["few samples", "dead directions"])
def test_is_right_where_covariances_are_rank_deficient(count: int, rank: int) -> None:
    """tr((A B)^1/2) is the nuclear norm of X Y^T for centred samples over sqrt(n - 1): no root is taken."""
    rng = np.random.default_rng(count)
    x, y = gaussian(rng, count, 64, rank), gaussian(rng, count + 7, 64, rank)
    u, v = (x - x.mean(0)) / np.sqrt(len(x) - 1), (y - y.mean(0)) / np.sqrt(len(y) - 1)
    traces = np.sum(u**2) + np.sum(v**2)
    expected = (
        np.sum((x.mean(0) - y.mean(0)) ** 2) + traces - 2 * np.linalg.svd(u @ v.T, compute_uv=False).sum()
    )
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, abs=1e-6 * traces)
    assert frechet_distance(Moments.of(x), Moments.of(x[::-1])) <= 1e-9 * traces


class MeanColours(nn.Module):
    """(B, 3, H, W) uint8 to (B, 12): means of the four quadrants."""

    num_features = 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


@pytest.mark.parametrize("samples", [60, 7], ids=["more samples than features", "fewer"])
def test_equals_torchmetrics_through_the_same_features(samples: int) -> None:
    rng = np.random.default_rng(5)
    real = rng.integers(0, 256, (80, 3, 8, 8)).astype(np.uint8)
    fake = (rng.integers(0, 256, (samples, 3, 8, 8)) * 0.8).astype(np.uint8)
    network = MeanColours()
    peer = FrechetInceptionDistance(feature=network, input_img_size=(3, 8, 8)).set_dtype(torch.float64)
    peer.update(torch.from_numpy(real), real=True)
    peer.update(torch.from_numpy(fake), real=False)
    a = Moments.of(network(torch.from_numpy(real)).double().numpy())
    b = Moments.of(network(torch.from_numpy(fake)).double().numpy())
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    assert frechet_distance(a, b) == pytest.approx(float(peer.compute()), abs=1e-6 * traces)


@pytest.mark.parametrize("samples", [300, 20], ids=["more samples than features", "fewer"])
def test_equals_clean_fids_formula(samples: int) -> None:
    """Where that package is installed."""
    fid = pytest.importorskip("cleanfid.fid")
    rng = np.random.default_rng(6)
    x, y = gaussian(rng, samples, 48), gaussian(rng, 400, 48)
    a, b = Moments.of(x), Moments.of(y)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    assert frechet_distance(a, b) == pytest.approx(fid.fid_from_feats(x, y), abs=1e-6 * traces)


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 90), max_size=6), seed=st.integers(0, 99), offset=st.sampled_from([0, 1e4])
)
def test_any_split_over_batches_and_workers_gives_the_moments_of_one_pass(
    cuts: list[int], seed: int, offset: float
) -> None:
    x = gaussian(np.random.default_rng(seed), 90, 6) + offset
    parts = np.split(x, sorted(cuts))
    streamed, merged = Moments(6), Moments(6)
    for part in parts:
        streamed.add(part)
        merged.merge(Moments.of(part))
    for moments in (streamed, merged):
        assert moments.count == 90
        assert np.allclose(moments.mean, x.mean(0), rtol=1e-12)
        assert np.abs(moments.covariance - np.cov(x, rowvar=False)).max() <= 1e-10 * moments.covariance.max()
    assert frechet_distance(streamed, merged) <= 1e-8 * np.trace(streamed.covariance)


def test_adding_after_a_distance_changes_the_next() -> None:
    rng = np.random.default_rng(1)
    x, y = gaussian(rng, 50, 4), gaussian(rng, 50, 4)
    growing, reference = Moments.of(x[:25]), Moments.of(y)
    first = frechet_distance(growing, reference)
    growing.add(x[25:])
    second = frechet_distance(growing, reference)
    assert second != first
    assert second == pytest.approx(frechet_distance(Moments.of(x), reference), rel=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    x = np.ones((5, 3))
    x[2, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite features in 1 of 5"):
        Moments.of(x)


def test_other_widths_and_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 2\); expected \(N, 3\)"):
        Moments(3).add(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="do not merge"):
        Moments(3).merge(Moments(2))
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(Moments.of(np.eye(3)), Moments.of(np.eye(2)))
    with pytest.raises(ValueError, match="two samples or more"):
        _ = Moments.of(np.zeros((1, 3))).covariance


def test_saved_moments_load_equal(tmp_path: Path) -> None:
    moments = Moments.of(gaussian(np.random.default_rng(3), 40, 5))
    moments.save(tmp_path / "m.npz")
    loaded = Moments.load(tmp_path / "m.npz")
    assert loaded.count == 40
    assert np.array_equal(loaded.mean, moments.mean)
    assert np.array_equal(loaded.covariance, moments.covariance)
    (tmp_path / "bad.npz").write_text("no")
    for name in ("missing.npz", "bad.npz"):
        with pytest.raises(InputError, match=name):
            Moments.load(tmp_path / name)

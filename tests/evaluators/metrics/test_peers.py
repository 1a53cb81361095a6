"""clean-fid's and torchmetrics' figures from given features: as ours, and without a trace."""

from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np
import pytest
import torch

from evaluators.metrics.clip_score import cosines
from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.metrics.kid import kernel_distance
from evaluators.metrics.peers import (
    TorchmetricsClipScore,
    clean_fid_frechet,
    clean_fid_kernel,
    torchmetrics_frechet,
    torchmetrics_kernel,
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No peer may ask for anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def features(count: int, seed: int, width: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, width)) @ rng.standard_normal((width, width)) + 3


@pytest.mark.parametrize("frechet", [clean_fid_frechet, torchmetrics_frechet])
@pytest.mark.parametrize("as_moments", [False, True])
def test_fid(frechet: Callable[..., float], as_moments: bool) -> None:
    samples, real = features(90, 1), features(70, 2)
    expected = frechet_distance(Moments.of(samples), Moments.of(real))
    assert frechet(samples, Moments.of(real) if as_moments else real) == pytest.approx(expected, rel=1e-6)
    assert frechet(2 * samples, real) > 1.1 * expected


@pytest.mark.parametrize("kernel", [clean_fid_kernel, torchmetrics_kernel])
def test_kid_of_one_whole_subset(kernel: Callable[..., float]) -> None:
    samples, real = features(60, 1), features(60, 2)
    expected, _ = kernel_distance(samples, real, subsets=1, subset_size=60, intervals=False)
    assert kernel(samples, real) == pytest.approx(expected, rel=1e-9)


def test_clip_score_before_it_is_cut() -> None:
    """Embeddings of opposite directions: a mean of -0.6, which torchmetrics' own score calls 0."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((30, 8))
    texts = -images + rng.standard_normal((30, 8))
    peer = TorchmetricsClipScore()
    peer.add(images[:20], texts[:20])
    peer.add(images[20:], texts[20:])
    expected = cosines(images, texts).mean()
    assert expected < -0.5
    assert peer.value == pytest.approx(expected, abs=1e-12)


def test_random_states_and_the_output_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    samples, real = features(5, 1), features(5, 2)  # fewer than features: clean-fid prints
    for peer in (clean_fid_frechet, torchmetrics_frechet, clean_fid_kernel, torchmetrics_kernel):
        peer(samples, real)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())
    assert capsys.readouterr().out == ""

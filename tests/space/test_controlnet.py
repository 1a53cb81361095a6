"""ControlNet beside networks of any architecture: with a middle or without, of sides that halve unevenly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from space.architecture import Architecture, Level, Middle
from space.controlnet import ControlNet, embedding_widths
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.interchange.layouts import inputs, shaken

LEVELS = (
    Level(8, "full", (0, 0), (0, 0, 0)),
    Level(16, "separable", (1,), (1, 0), self_attention=True, cross_attention=True),
    Level(16, "full", (1,), (1, 1), cross_attention=True),
)
BARE = Architecture(
    LEVELS, latent_size=8, norm_groups=4, head_width=None, heads=2, time_width=16, latent_channels=3,
    context_width=12, context_length=7,
)  # fmt: skip
WITH_MIDDLE = replace(BARE, middle=Middle((1, 0), self_attention=True, cross_attention=True))
TOLD = replace(BARE, guidance_width=8, condition_channels=4, pooled_width=5, size_embeddings=2)


@torch.no_grad()
@pytest.mark.parametrize("a", [BARE, WITH_MIDDLE, TOLD], ids=["bare", "with a middle", "told more"])
def test_a_fresh_one_changes_no_bit_and_one_that_has_learnt_does(a: Architecture) -> None:
    unet, told = shaken(UNet(a)), inputs(a, size=(9, 9))
    assert isinstance(unet, UNet)
    own = ControlNet(a, embedding_widths(2))
    own.begin_as(unet)
    image, names = torch.rand(2, 3, 18, 18), ("timesteps", "context", "pooled", "sizes")
    alike = {name: told[name] for name in names}
    latents = told["latents"]
    assert latents is not None
    before = unet(**told)

    def residuals() -> object:
        return own(latents[:, : a.latent_channels], condition=image, **alike)

    assert torch.equal(unet(**told, residuals=residuals()), before)
    shaken(own)
    assert (unet(**told, residuals=residuals()) - before).abs().max() > 0.01


def test_what_does_not_fit_is_refused_by_its_name() -> None:
    wider = replace(BARE, levels=(LEVELS[0], replace(LEVELS[1], channels=24), LEVELS[2]))
    with pytest.raises(InputError, match=r"^down\.1\.stages\.0\.conv\.\S+: \[.*\] in the network, \[.*\] in"):
        ControlNet(wider).begin_as(UNet(BARE))
    other = ControlNet(wider, embedding_widths(1))
    latents, told = torch.randn(1, 3, 9, 9), (torch.tensor([3]), torch.randn(1, 7, 12))
    with torch.no_grad():
        theirs = other(latents, *told, condition=torch.rand(1, 3, 9, 9))
        with pytest.raises(
            InputError, match=r"residuals\.skips: \[24, 5, 5\] .* behind down\.1\.stages\.0, "
        ):
            UNet(BARE)(latents, *told, residuals=theirs)
        with pytest.raises(InputError, match=r"7 skips, the first that differs behind down\.2\.stages\.0"):
            fewer = theirs._replace(skips=[skip[:, :16] for skip in theirs.skips[:-1]])
            UNet(BARE)(latents, *told, residuals=fewer)
        with pytest.raises(
            InputError, match=r"condition: \[8, 8\] px make a map of \[8, 8\], but .* \[9, 9\]"
        ):
            other(latents, *told, condition=torch.rand(1, 3, 8, 8))
    with pytest.raises(InputError, match=r"latents\.factor: 6; .* powers of two"):
        embedding_widths(6)


def test_the_image_is_halved_as_often_as_the_latents() -> None:
    assert [embedding_widths(factor) for factor in (1, 2, 8)] == [(16,), (16, 32), (16, 32, 96, 256)]
    assert embedding_widths(32) == (16, 32, 96, 256, 256, 256)

"""T2I-adapters whose maps fit any architecture: diffusers' own class wherever it has their shape."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import T2IAdapter

from space.architecture import Architecture, Level
from space.interchange.t2i_adapter import PipelineT2IAdapter, save_t2i_adapter, t2i_adapter
from space.unet import UNet
from space.unet_levels import Residuals
from tests.space.interchange.layouts import inputs, shaken


def of(*layers: int, channels: tuple[int, ...] = (8, 16, 16, 16)) -> Architecture:
    """A level for each number of layers behind its one conv block."""
    levels = [
        Level(width, "full", (n,), (n, n), cross_attention=n > 0)
        for width, n in zip(channels, layers, strict=False)
    ]
    return Architecture(
        tuple(levels), norm_groups=4, head_width=8, time_width=16, latent_channels=3, latent_size=8,
        context_width=12,
    )  # fmt: skip


KINDS = {
    "halved in each": (of(1, 1, 0), "full_adapter", 2),
    "MD's: layers from the second level on": (of(0, 1, 1), "full_adapter_xl", 4),
    "two levels": (of(0, 1), "full_adapter_xl", 4),
    "SDXL's with a fourth of its width": (of(0, 1, 1, channels=(8, 16, 24)), "full_adapter_xl", 4),
    "one that diffusers has not: a gap": (of(1, 0, 0, 1), None, 2),
    "nor this: none halved in the end": (of(0, 0, 0, 1), None, 4),
}


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_its_maps_fit_and_a_fresh_one_changes_no_bit(name: str, tmp_path: Path) -> None:
    a, kind, factor = KINDS[name]
    adapter, unet, told = t2i_adapter(a, 2), shaken(UNet(a)), inputs(a, size=(16, 16))
    assert adapter.downscale_factor == factor
    assert (type(adapter) is T2IAdapter) == (kind is not None)
    assert adapter.config.get("adapter_type") == kind
    image = torch.rand(2, 3, 32, 32)
    before = unet(**told)
    assert torch.equal(unet(**told, residuals=Residuals(inside=adapter(image))), before)
    shaken(adapter)
    after = unet(**told, residuals=Residuals(inside=adapter(image)))
    assert (after - before).abs().max() > 0.001
    save_t2i_adapter(adapter, tmp_path)
    again = (T2IAdapter if kind else PipelineT2IAdapter).from_pretrained(tmp_path)
    assert all(map(torch.equal, again(image), adapter(image)))


def test_a_fresh_one_learns_in_all_its_layers_from_the_second_step_on() -> None:
    adapter, image = t2i_adapter(of(0, 1, 1), 2), torch.rand(1, 3, 16, 16)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.001)
    for _ in range(2):
        optimizer.zero_grad()
        sum((one - 1).square().sum() for one in adapter(image)).backward()
        optimizer.step()
    assert all(bool(each.grad.abs().sum() > 0) for each in adapter.parameters())

"""diffusers' UNet and ours hold the same weights and give the same images, both ways."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from space.architecture import Architecture, Level
from space.interchange.checkpoints import assign, diffusers_name, empty_unet, load, save, save_diffusers
from space.interchange.from_diffusers import architecture_from_diffusers
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.interchange.layouts import FULL_SD15, FULL_SDXL, LAYOUTS, inputs, ours, shaken, theirs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_diffusers_folder_loads_with_the_same_output(layout: str, tmp_path: Path) -> None:
    peer = shaken(UNet2DConditionModel(**LAYOUTS[layout]))
    peer.save_pretrained(tmp_path, max_shard_size="300KB")  # several shards, like SDXL at full width
    unet = load(tmp_path)
    given = inputs(unet.architecture)
    expected = theirs(peer, given)
    assert expected.std() > 0.1
    assert (ours(unet, given) - expected).abs().max() < 1e-4
    assert (tmp_path / "diffusion_pytorch_model.safetensors.index.json").exists()
    if layout == "uneven":
        assert unet.architecture.levels[1].up == (1, 2, 3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(19, 13)])
def test_sizes_that_do_not_halve_evenly_give_the_same_output(layout: str, size: tuple[int, int]) -> None:
    """As 600x400 px at f = 8 does, 75x50 latent pixels: each map is enlarged to its skip's size."""
    peer = shaken(UNet2DConditionModel(**LAYOUTS[layout]))
    architecture = architecture_from_diffusers(LAYOUTS[layout])
    unet = assign(empty_unet(architecture), dict(peer.state_dict()), diffusers_name)
    given = inputs(architecture, size=size)
    expected = theirs(peer, given)
    assert expected.shape == (2, 4, *size)
    assert (ours(unet, given) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_weights_save_in_the_diffusers_layout(layout: str, tmp_path: Path) -> None:
    architecture = architecture_from_diffusers(LAYOUTS[layout])
    unet = shaken(UNet(architecture))
    assert isinstance(unet, UNet)
    save_diffusers(unet, tmp_path)
    peer = UNet2DConditionModel.from_pretrained(tmp_path).eval()
    given = inputs(architecture)
    assert (ours(unet, given) - theirs(peer, given)).abs().max() < 1e-4
    assert load(tmp_path).architecture.id == architecture.id


def test_our_own_folder_holds_any_architecture(tmp_path: Path) -> None:
    level = Level(32, "separable", (1,), (2, 0), self_attention=True)
    architecture = Architecture(
        (replace(level, conv="full"), level), norm_groups=8, head_width=8, latent_size=8, time_width=16
    )
    unet = shaken(UNet(architecture))
    assert isinstance(unet, UNet)
    save(unet, tmp_path)
    again = load(tmp_path)
    given = inputs(architecture)
    assert again.architecture.id == architecture.id
    assert torch.equal(ours(again, given), ours(unet, given))
    assert all(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("config", [FULL_SD15, FULL_SDXL], ids=["sd15", "sdxl"])
def test_full_width_gives_the_same_output(config: dict[str, Any]) -> None:
    """One set of weights in memory: ours takes over the tensors of theirs. SDXL needs about 11 GiB."""
    torch.manual_seed(0)
    peer = UNet2DConditionModel(**config).eval()
    architecture = architecture_from_diffusers(config)
    given = inputs(replace(architecture, latent_size=32), batch=1)
    expected = theirs(peer, given)
    weights = dict(peer.state_dict())
    del peer
    unet = assign(empty_unet(architecture), weights, diffusers_name)
    assert expected.std() > 0.01
    assert (ours(unet, given) - expected).abs().max() < 1e-4


def test_conditions_that_are_another_networks_are_refused() -> None:
    plain = UNet(architecture_from_diffusers(LAYOUTS["plain"]))
    given = inputs(plain.architecture)
    for name in ("pooled", "sizes", "guidance"):
        with pytest.raises(InputError, match=f"{name}: 6 .* takes 0"):
            plain(**given | {name: torch.zeros(2, 6)})
    sdxl = architecture_from_diffusers(LAYOUTS["sdxl"])
    refiners = inputs(replace(sdxl, size_embeddings=5))
    with pytest.raises(InputError, match=r"sizes: 5 .* takes 6"):
        UNet(sdxl)(**refiners)
    with pytest.raises(InputError, match="pooled: missing"):
        UNet(sdxl)(**refiners | {"pooled": None})

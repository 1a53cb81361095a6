"""Every published UNet is a point of the space, counted to the last integer and by an independent counter."""

from importlib import resources
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from space.architecture import Architecture, Level
from space.prices.macs import price
from space.shared.plain import InputError
from space.unet import UNet

ARCH = Path(str(resources.files("conf").joinpath("arch")))
UNETS = {  # parameters, GMACs, MACs of attention products in 10^9, conv blocks, SA, CA, id
    "sd15": (859_520_964, 401.64, 63.03, 22, 16, 16, "68f44e92e360"),
    "sdxl": (2_567_463_684, 794.39, 27.53, 17, 70, 70, "7cda2aa8f5c2"),
    "snapfusion": (742_917_764, 300.35, 8.98, 17, 14, 14, "17a61c29c182"),
    "md": (387_376_712, 183.57, 2.92, 11, 15, 18, "e7d9e606fec8"),
    "md_lite": (278_176_200, 153.99, 2.14, 11, 12, 15, "a94f3b68fbca"),
}


@pytest.mark.parametrize("name", UNETS)
def test_counts_as_published(name: str) -> None:
    parameters, gmacs, products, blocks, self_layers, cross_layers, identity = UNETS[name]
    a = Architecture.load(ARCH / f"{name}.yaml")
    cost = price(a)
    assert cost.parameters == parameters
    assert cost.gmacs == pytest.approx(gmacs, abs=0.005)
    assert cost.attention_macs / 1e9 == pytest.approx(products, abs=0.005)
    assert (a.conv_blocks, a.self_attention_layers, a.cross_attention_layers) == (
        blocks,
        self_layers,
        cross_layers,
    )
    assert a.id == identity  # runs on disk refer to networks by it


@pytest.mark.parametrize("name", UNETS)
def test_the_module_that_is_built_counts_the_same(name: str) -> None:
    """PyTorch's counter on meta tensors knows nothing of the closed form."""
    a = Architecture.load(ARCH / f"{name}.yaml")
    with torch.device("meta"):
        unet = UNet(a)
        latents = torch.zeros(1, a.latent_channels, a.latent_size, a.latent_size)
        context = torch.zeros(1, a.context_length, a.context_width)
        pooled = torch.zeros(1, a.pooled_width) if a.pooled_width else None
        sizes = torch.zeros(1, a.size_embeddings) if a.size_embeddings else None
        with FlopCounterMode(display=False) as counter:
            unet(latents, torch.zeros(1), context, pooled, sizes)
    assert sum(parameter.numel() for parameter in unet.parameters()) == price(a).parameters
    assert counter.get_total_flops() == price(a).flops


@pytest.mark.parametrize("name", UNETS)
def test_the_file_loads_back_equal(name: str) -> None:
    a = Architecture.load(ARCH / f"{name}.yaml")
    assert Architecture.from_yaml(a.to_yaml()) == a


def test_sdxl_at_its_own_size_holds_the_same_parameters() -> None:
    a = Architecture.load(ARCH / "sdxl.yaml")
    wide = Architecture.from_plain(a.to_plain() | {"latent_size": 128})
    assert price(wide).parameters == price(a).parameters
    assert price(wide).macs > 4 * price(a).macs  # attention products grow with the square of the tokens


def test_snapfusions_middle_row_splits_only_one_way() -> None:
    """Four conv blocks and one CA at 8x8, in its own table: down + middle + up, up being one longer."""
    splits = [(down, middle) for down in (1, 2, 3) for middle in (1, 2, 3) if 2 * down + 1 + middle == 4]
    assert splits == [(1, 1)]
    with pytest.raises(InputError, match=r"up: .* has 1 conv blocks; allowed: one more than down"):
        Level(1280, "full", (0,), (0,))

"""Which architecture a config of diffusers' says, and which configs are refused, by the key."""

from pathlib import Path
from typing import Any

import pytest

from space.architecture import Architecture
from space.interchange.config_values import DEFAULTS
from space.interchange.from_diffusers import architecture_from_diffusers
from space.shared.plain import InputError
from tests.space.interchange.layouts import FULL_SD15, FULL_SDXL

ARCH = Path(__file__).parents[3] / "conf" / "arch"


def test_every_unet_of_table_1_reads_from_its_released_config() -> None:
    """What the released config.json files say, 64 px latents for SDXL as in the paper's row."""
    assert architecture_from_diffusers(FULL_SD15) == Architecture.load(ARCH / "sd15.yaml")
    assert architecture_from_diffusers(FULL_SDXL) == Architecture.load(ARCH / "sdxl.yaml")
    sd21 = FULL_SD15 | {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "upcast_attention": True,
    }
    assert architecture_from_diffusers(sd21).head_width == 64


def test_sdxls_refiner_has_five_size_numbers() -> None:
    """Both configs say one sum, 2816 and 2560: OpenCLIP's 1280 of it are the pooled text."""
    refiner = FULL_SDXL | {"projection_class_embeddings_input_dim": 2560}
    read = architecture_from_diffusers(refiner)
    assert (read.pooled_width, read.size_embeddings) == (1280, 5)
    base = architecture_from_diffusers(FULL_SDXL)
    assert (base.pooled_width, base.size_embeddings) == (1280, 6)
    other = FULL_SDXL | {"projection_class_embeddings_input_dim": 768 + 6 * 256}
    with pytest.raises(InputError, match=r"projection_class_embeddings_input_dim: 2304 .* say size_numbers"):
        architecture_from_diffusers(other)
    assert architecture_from_diffusers(other, size_numbers=6).pooled_width == 768
    assert architecture_from_diffusers(other, pooled_width=768).size_embeddings == 6


@pytest.mark.parametrize("key", DEFAULTS)
@pytest.mark.parametrize("value", [None, 0, 8.5, True, "x", [], [None], [0, 1.5], {}])
def test_any_value_of_a_config_is_read_or_refused_by_name(key: str, value: Any) -> None:
    try:
        read = architecture_from_diffusers(FULL_SDXL | {key: value})
    except InputError as error:  # an unreadable one ends in nothing else
        assert str(error).splitlines() == [str(error)]
        return
    assert read == architecture_from_diffusers(FULL_SDXL) or value in (None, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_head_dim": None}, "attention_head_dim: None cannot .* a whole number, or a list"),
        ({"layers_per_block": 0}, "layers_per_block: 0 cannot .* 1 or more"),
        ({"norm_num_groups": 0}, "norm_num_groups: 0 cannot"),
        ({"cross_attention_dim": 768.5}, "cross_attention_dim: 768.5 cannot"),
        ({"mid_block_type": 1}, "mid_block_type: 1 cannot .* a name, or null"),
        ({"act_fn": "gelu"}, r"act_fn: 'gelu' cannot be expressed.*'silu'"),
        ({"only_cross_attention": True}, "only_cross_attention: True cannot be expressed"),
        ({"class_embed_type": "timestep"}, "class_embed_type: 'timestep' cannot"),
        ({"out_channels": 8}, "out_channels: 8 cannot be expressed.*in_channels = 4"),
        ({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, "mid_block_type: 'UNetMidBlock2DSimple"),
        ({"cross_attention_dim": [768, 768, 768, 1024]}, "cross_attention_dim: .* one width"),
        ({"layers_per_block": [2, 2]}, r"layers_per_block: \[2, 2\] cannot .* 4 of them"),
        ({"attention_head_dim": [4, 8, 4, 8]}, "attention_head_dim: .* one number of heads"),
        ({"addition_embed_type": "image"}, "addition_embed_type: 'image'"),
        ({"freq_shift": 1}, "freq_shift: 1 cannot"),
        ({"something_new": 3}, "something_new: 3 cannot"),
        ({"sample_size": [64, 96]}, "sample_size: .*squares"),
        ({"norm_num_groups": 48}, "does not divide into norm_groups = 48"),
        ({"down_block_types": ["AttnDownBlock2D"] * 4}, r"down_block_types\[0\]: 'AttnDownBlock2D'"),
    ],
)
def test_a_config_that_cannot_be_expressed_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        architecture_from_diffusers(FULL_SD15 | change)

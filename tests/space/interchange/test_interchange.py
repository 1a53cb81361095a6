"""diffusers' UNet and ours hold the same weights and give the same images, both ways."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from space.architecture import Architecture, Level, Middle
from space.interchange.checkpoints import assign, diffusers_name, empty_unet, load, save, save_diffusers
from space.interchange.config_values import DEFAULTS
from space.interchange.diffusers_config import diffusers_config
from space.interchange.from_diffusers import architecture_from_diffusers
from space.shared.plain import InputError
from space.unet import UNet

ARCH = Path(__file__).parents[3] / "conf" / "arch"

SDXL_TYPES = {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
SDXL_ADDED = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
FULL_SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
FULL_SDXL: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "projection_class_embeddings_input_dim": 2816,
    **SDXL_TYPES,
    **SDXL_ADDED,
}
NARROW = {"sample_size": 16, "norm_num_groups": 8, "cross_attention_dim": 24}
LAYOUTS: dict[str, dict[str, Any]] = {
    "sd15": NARROW | {"block_out_channels": [16, 32, 64, 64], "attention_head_dim": 8},
    "sdxl": NARROW
    | FULL_SDXL
    | {
        "sample_size": 16,
        "block_out_channels": [16, 32, 64],
        "cross_attention_dim": 24,
        "attention_head_dim": [2, 4, 8],
        "transformer_layers_per_block": [1, 2, 3],
        "projection_class_embeddings_input_dim": 1280 + 6 * 256,
    },
    "uneven": NARROW  # blocks a level, layers a block and a side all differ; no middle
    | {
        "block_out_channels": [16, 32],
        "layers_per_block": [1, 2],
        "attention_head_dim": [2, 4],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "mid_block_type": None,
        "transformer_layers_per_block": [1, [2, 1]],
        "reverse_transformer_layers_per_block": [[1, 2, 3], [2, 1]],
        "time_embedding_dim": 48,
    },
    "inpainting": NARROW  # mask and masked image beside the noise; a distilled guidance scale
    | {
        "block_out_channels": [16, 32],
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "in_channels": 9,
        "time_cond_proj_dim": 12,
    },
    "plain": NARROW  # no transformer anywhere, and a middle of one conv block
    | {
        "block_out_channels": [16, 32],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D"] * 2,
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ["UpBlock2D"] * 2,
    },
}


def shaken(model: nn.Module) -> nn.Module:
    """No parameter at a value that could hide a mistake (a norm's ones, a bias's zeros)."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model.eval()


def inputs(a: Architecture, batch: int = 2, size: tuple[int, int] | None = None) -> dict[str, Tensor | None]:
    torch.manual_seed(1)
    return {
        "latents": torch.randn(batch, a.input_channels, *(size or (a.latent_size, a.latent_size))),
        "timesteps": torch.tensor([999, 3])[:batch],
        "context": torch.randn(batch, 7, a.context_width),
        "pooled": torch.randn(batch, a.pooled_width) if a.pooled_width else None,
        "sizes": torch.randint(0, 1024, (batch, a.size_embeddings)) if a.size_embeddings else None,
        "guidance": torch.randn(batch, a.guidance_width) if a.guidance_width else None,
    }


@torch.no_grad()
def theirs(model: nn.Module, given: dict[str, Tensor | None]) -> Tensor:
    added: dict[str, Any] | None = {"text_embeds": given["pooled"], "time_ids": given["sizes"]}
    arguments = given["latents"], given["timesteps"], given["context"]
    if given["pooled"] is None:
        added = None
    return model(*arguments, added_cond_kwargs=added, timestep_cond=given["guidance"]).sample


@torch.no_grad()
def ours(unet: UNet, given: dict[str, Tensor | None]) -> Tensor:
    return unet.eval()(**given)


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


def test_a_pipelines_second_text_encoder_tells_the_pooled_width(tmp_path: Path) -> None:
    layout = LAYOUTS["sdxl"] | {"projection_class_embeddings_input_dim": 20 + 5 * 256}
    peer = shaken(UNet2DConditionModel(**layout))
    peer.save_pretrained(tmp_path / "unet")
    with pytest.raises(InputError, match="projection_class_embeddings_input_dim: 1300"):
        load(tmp_path / "unet")
    (tmp_path / "text_encoder_2").mkdir()
    (tmp_path / "text_encoder_2" / "config.json").write_text(json.dumps({"projection_dim": 20}))
    (tmp_path / "model_index.json").write_text("{}")
    unet = load(tmp_path)  # the pipeline's folder will do
    assert (unet.architecture.pooled_width, unet.architecture.size_embeddings) == (20, 5)
    save_diffusers(unet, tmp_path / "ours")
    assert load(tmp_path / "ours").architecture == unet.architecture
    given = inputs(unet.architecture)
    assert (ours(unet, given) - theirs(peer, given)).abs().max() < 1e-4


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


SD15 = architecture_from_diffusers(LAYOUTS["sd15"])


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            replace(SD15, shared_key_value=True),
            "shared_key_value: True has no diffusers layout; there: False",
        ),
        (replace(SD15, activation="swish"), "activation: 'swish' has no diffusers layout; there: gelu"),
        (replace(SD15, feed_forward_ratio=3), "feed_forward_ratio: 3"),
        (replace(SD15, stack_projection="none"), "stack_projection: 'none'"),
        (replace(SD15, attention="relu"), "attention: 'relu'"),
        (replace(SD15, middle=Middle((1,))), r"middle.blocks: \[1\] has no diffusers layout"),
        (
            replace(SD15, levels=(replace(SD15.levels[0], conv="separable"),)),
            r"levels\[0\].conv: 'separable'",
        ),
        (
            replace(SD15, middle=Middle((1, 0), conv="separable"), separable_kernel=7),
            r"middle.conv: 'separable' has no diffusers layout; there: full",
        ),
        (replace(SD15, levels=(replace(SD15.levels[0], down=(1, 0)),)), r"levels\[0\].down: \[1, 0\]"),
        (
            replace(SD15, levels=(replace(SD15.levels[0], self_attention=False),)),
            r"levels\[0\].self_attention",
        ),
        (replace(SD15, levels=(replace(SD15.levels[0], down=(2, 2)),)), r"middle.blocks: \[1, 0\]"),
    ],
)
def test_what_diffusers_has_no_layout_for_is_named(
    architecture: Architecture, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        save_diffusers(UNet(architecture), tmp_path / "unet")
    assert not (tmp_path / "unet").exists()


def test_a_checkpoint_that_does_not_fit_says_which_layer() -> None:
    weights = dict(UNet2DConditionModel(**LAYOUTS["sd15"]).state_dict())
    wider = replace(SD15, context_width=32)
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    with pytest.raises(
        InputError, match=rf"{layer} \(here down.0.*key.weight\).*\[16, 24\].*needs \[16, 32\]"
    ):
        assign(empty_unet(wider), weights, diffusers_name)
    missing = {name: tensor for name, tensor in weights.items() if name != "mid_block.resnets.1.conv1.bias"}
    with pytest.raises(
        InputError, match=r"mid_block.resnets.1.conv1.bias \(here .*missing from the checkpoint"
    ):
        assign(empty_unet(SD15), missing, diffusers_name)
    extra = weights | {"class_embedding.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"class_embedding.weight: in the checkpoint, but .* no such layer"):
        assign(empty_unet(SD15), extra, diffusers_name)


def test_a_folder_without_weights_or_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json: cannot be read"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(LAYOUTS["plain"]))
    with pytest.raises(
        InputError, match=r"weights cannot be read \(needed: diffusion_pytorch_model.safetensors"
    ):
        load(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"weights cannot be read"):
        load(tmp_path)


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


def test_averaged_weights_of_diffusers_load(tmp_path: Path) -> None:
    """Their config holds what EMAModel keeps beside; diffusers' own UNet passes over it."""
    from diffusers.training_utils import EMAModel

    peer = shaken(UNet2DConditionModel(**LAYOUTS["plain"]))
    averaged = EMAModel(peer.parameters(), model_cls=UNet2DConditionModel, model_config=peer.config)
    averaged.save_pretrained(tmp_path / "unet_ema")
    assert "inv_gamma" in json.loads((tmp_path / "unet_ema" / "config.json").read_text())
    unet = load(tmp_path / "unet_ema")
    assert torch.equal(unet.conv_in.weight, peer.conv_in.weight)


@pytest.mark.parametrize(
    ("options", "variant"),
    [
        ({"safe_serialization": False}, None),
        ({"variant": "fp16"}, "fp16"),
        ({"variant": "fp16", "max_shard_size": "100KB"}, "fp16"),
        ({"safe_serialization": False, "max_shard_size": "100KB"}, None),
        ({"safe_serialization": False, "variant": "fp16", "max_shard_size": "100KB"}, "fp16"),
    ],
)
def test_weights_load_in_every_form_that_diffusers_writes(
    options: dict[str, Any], variant: str | None, tmp_path: Path
) -> None:
    peer = shaken(UNet2DConditionModel(**LAYOUTS["plain"])).half()
    peer.save_pretrained(tmp_path, **options)
    unet = load(tmp_path, variant=variant)
    assert unet.conv_out.weight.dtype == torch.float16
    assert all(
        torch.equal(tensor, peer.state_dict()[diffusers_name(name)])
        for name, tensor in unet.state_dict().items()
    )
    if variant:
        with pytest.raises(InputError, match=r"needed: diffusion_pytorch_model.safetensors.*there: .*fp16"):
            load(tmp_path)
    files = [path for path in tmp_path.iterdir() if path.suffix in (".bin", ".safetensors")]
    if len(files) == 1:
        assert load(files[0]).architecture == unet.architecture


def test_conditions_that_are_another_networks_are_refused() -> None:
    plain = UNet(architecture_from_diffusers(LAYOUTS["plain"]))
    given = inputs(plain.architecture)
    for name in ("pooled", "sizes", "guidance"):
        with pytest.raises(InputError, match=f"{name}: 6 numbers an image; this architecture takes 0"):
            plain(**given | {name: torch.zeros(2, 6)})
    sdxl = architecture_from_diffusers(LAYOUTS["sdxl"])
    refiners = inputs(replace(sdxl, size_embeddings=5))
    with pytest.raises(InputError, match="sizes: 5 numbers an image; this architecture takes 6"):
        UNet(sdxl)(**refiners)
    with pytest.raises(InputError, match="pooled: missing"):
        UNet(sdxl)(**refiners | {"pooled": None})


def test_saving_keeps_every_key_that_reading_needs() -> None:
    for layout in LAYOUTS.values():
        architecture = architecture_from_diffusers(layout)
        assert architecture_from_diffusers(diffusers_config(architecture)).id == architecture.id


def test_a_kernel_that_nothing_acts_on_leaves_the_config() -> None:
    assert diffusers_config(replace(SD15, separable_kernel=9)) == diffusers_config(SD15)

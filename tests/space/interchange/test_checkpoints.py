"""Which files and folders of weights load, and what is said of those that do not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from space.interchange.checkpoints import assign, diffusers_name, empty_unet, load, save_diffusers
from space.interchange.from_diffusers import architecture_from_diffusers
from space.shared.plain import InputError
from tests.space.interchange.layouts import LAYOUTS, inputs, ours, shaken, theirs


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


def test_a_checkpoint_that_does_not_fit_says_which_layer() -> None:
    weights = dict(UNet2DConditionModel(**LAYOUTS["sd15"]).state_dict())
    sd15 = architecture_from_diffusers(LAYOUTS["sd15"])
    wider = replace(sd15, context_width=32)
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    with pytest.raises(
        InputError, match=rf"{layer} \(here down.0.*key.weight\).*\[16, 24\].*needs \[16, 32\]"
    ):
        assign(empty_unet(wider), weights, diffusers_name)
    missing = {name: tensor for name, tensor in weights.items() if name != "mid_block.resnets.1.conv1.bias"}
    with pytest.raises(
        InputError, match=r"mid_block.resnets.1.conv1.bias \(here .*missing from the checkpoint"
    ):
        assign(empty_unet(sd15), missing, diffusers_name)
    extra = weights | {"class_embedding.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"class_embedding.weight: in the checkpoint, but .* no such layer"):
        assign(empty_unet(sd15), extra, diffusers_name)


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

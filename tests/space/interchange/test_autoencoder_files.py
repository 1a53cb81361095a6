"""Autoencoders and their weights, to and from diffusers' `AutoencoderKL`, by their outputs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from space.autoencoder import Autoencoder, ImageLevel, Way
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.autoencoder_files import (
    read_autoencoder,
    read_autoencoder_description,
    save_autoencoder,
)
from space.interchange.autoencoder_kl import autoencoder_from_kl, autoencoder_kl_config
from space.interchange.pipeline_autoencoder import PipelineAutoencoder
from space.shared.plain import InputError

CONF = Path(__file__).parents[3] / "conf" / "autoencoder"


def stock(**fields: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        **{
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "block_out_channels": (8, 16, 16),
            "layers_per_block": 2,
            "norm_num_groups": 4,
            "latent_channels": 5,
            "sample_size": 16,
            "scaling_factor": 0.5,
        }
        | fields
    ).eval()


@torch.no_grad()
def assert_same(ours: AutoencoderNetwork, theirs: Any) -> None:
    images = torch.randn(2, 3, 16, 16)
    here, there = ours.encode(images), theirs.encode(images).latent_dist
    torch.testing.assert_close(here.mean, there.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(here.log_variance, there.logvar, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(here.kl(), there.kl(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        ours.decode(there.mean), theirs.decode(there.mean).sample, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_quant_conv": False, "use_post_quant_conv": False},
        {"mid_block_add_attention": False, "layers_per_block": 1},
    ],
)
def test_there_and_back(tmp_path: Path, fields: dict[str, Any]) -> None:
    theirs = stock(**fields)
    theirs.save_pretrained(tmp_path / "theirs")
    stored = read_autoencoder(tmp_path / "theirs")
    assert stored.scale == {"scaling_factor": 0.5}
    assert_same(stored.network, theirs)
    save_autoencoder(stored.network, tmp_path / "ours", {"scaling_factor": 0.25}, force_upcast=False)
    back = AutoencoderKL.from_pretrained(tmp_path / "ours")
    assert (back.config.scaling_factor, back.config.force_upcast) == (0.25, False)
    assert_same(stored.network, back)


def test_attention_of_older_checkpoints(tmp_path: Path) -> None:
    theirs = stock()
    theirs.save_pretrained(tmp_path)
    path, old = tmp_path / "diffusion_pytorch_model.safetensors", {}
    for name, tensor in load_file(path).items():
        for new, before in ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value.")):
            name = name.replace(new, before)
        name = name.replace(".to_out.0.", ".proj_attn.")
        is_matrix = ".attentions." in name and tensor.dim() == 2
        old[name] = tensor[:, :, None, None] if is_matrix else tensor
    save_file(old, path)
    assert_same(read_autoencoder(tmp_path).network, theirs)


def test_what_diffusers_has_no_layout_for_keeps_a_class_of_ours(tmp_path: Path) -> None:
    full = autoencoder_from_kl(stock().config)
    levels = (ImageLevel(4, 1, "plain"), ImageLevel(8, 1, "separable"), ImageLevel(8, 2))
    pruned = replace(full, decoder=Way(levels, norm_groups=4))
    with pytest.raises(InputError, match=r"decoder\.levels\[0\]\.conv: 'plain' has no layout"):
        autoencoder_kl_config(pruned)
    network = AutoencoderNetwork(pruned).eval()
    save_autoencoder(network, tmp_path, {"scaling_factor": 0.25, "shift_factor": 0.125})
    assert read_autoencoder_description(tmp_path) == pruned
    assert_same(read_autoencoder(tmp_path).network, PipelineAutoencoder.from_pretrained(tmp_path))
    again = PipelineAutoencoder.from_pretrained(tmp_path)
    assert (again.config.latent_channels, again.config.scaling_factor) == (5, 0.25)
    assert read_autoencoder(tmp_path).scale == {"scaling_factor": 0.25, "shift_factor": 0.125}


def test_presets_that_have_a_layout() -> None:
    for name in ("sd", "paper"):
        a = Autoencoder.load(CONF / f"{name}.yaml")
        assert autoencoder_from_kl(autoencoder_kl_config(a)) == a


def test_other_networks_are_refused_by_name(tmp_path: Path) -> None:
    for key, value in (
        ("act_fn", "relu"),
        ("in_channels", 4),
        ("use_post_quant_conv", False),
        ("layers_per_block", 0),
    ):
        with pytest.raises(InputError, match=rf"{key}: .* cannot be expressed"):
            autoencoder_from_kl(dict(stock().config) | {key: value})
    theirs = stock()
    theirs.save_pretrained(tmp_path)
    narrower = autoencoder_kl_config(replace(autoencoder_from_kl(theirs.config), latent_channels=4))
    (tmp_path / "config.json").write_text(json.dumps(narrower))
    with pytest.raises(InputError, match=r"holds \[10, 16, 3, 3\].*needs \[8, 16, 3, 3\]"):
        read_autoencoder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"scaling_factor": 0}, "has scaling_factor = 0; needed: a number above 0"),
        ({"scaling_factor": "big"}, "has scaling_factor = big"),
        ({"scaling_factor": None}, "has scaling_factor = None"),
        ({"shift_factor": [1, 2]}, r"has shift_factor = \[1, 2\]; needed: a finite number, or null"),
        ({"latents_mean": [0.0] * 8}, "has latents_std = None; needed: 8 numbers above 0"),
    ],
)
def test_a_scale_that_no_latents_have_is_refused(
    changes: dict[str, object], found: str, tmp_path: Path
) -> None:
    network = AutoencoderNetwork(Autoencoder.load(CONF / "tiny.yaml"))
    save_autoencoder(network, tmp_path, {"scaling_factor": 1.0})
    config = json.loads((tmp_path / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=found):
        read_autoencoder(tmp_path)


def test_weights_that_are_not_finite_are_refused_by_layer(tmp_path: Path) -> None:
    network = AutoencoderNetwork(Autoencoder.load(CONF / "tiny.yaml"))
    torch.nn.init.constant_(network.decoder.last_weight, float("nan"))
    save_autoencoder(network, tmp_path, {"scaling_factor": 1.0})
    with pytest.raises(InputError, match=r"decoder\.places\S+ is not finite"):
        read_autoencoder(tmp_path)

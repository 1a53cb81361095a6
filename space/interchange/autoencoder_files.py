"""An autoencoder's folder: `config.json` and safetensors, as diffusers' `AutoencoderKL` where that has a
layout for it, else as `PipelineAutoencoder`. Stock pipelines load either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from space.autoencoder import Autoencoder
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.autoencoder_kl import (
    CLASS_NAME,
    OLD_NAMES,
    autoencoder_from_kl,
    autoencoder_kl_config,
    has_kl_layout,
    kl_names,
)
from space.interchange.checkpoints import assign, write_class
from space.interchange.weight_files import CONFIG_FILE, read_plain, read_weights, write_network
from space.shared.plain import InputError

OWN_CLASS = ("space.interchange.pipeline_autoencoder", "PipelineAutoencoder")  # module and class
OWN_PREFIX = "network."  # it holds the network under this name
SCALE_KEYS = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
SCALING_FACTOR = 0.18215  # diffusers', where a config says nothing


class StoredAutoencoder(NamedTuple):
    """An autoencoder with its weights, and what its latents go through before a UNet sees them.

    `scale` holds diffusers' keys, as far as they are set: scaling_factor always, shift_factor, latents_mean,
    latents_std.
    """

    network: AutoencoderNetwork
    scale: dict[str, Any]


def save_autoencoder(
    network: AutoencoderNetwork, folder: str | Path, scale: Mapping[str, Any], *, force_upcast: bool = True
) -> None:
    """Write a folder that `read_autoencoder` reads, and diffusers.

    Args:
        scale: as `StoredAutoencoder` has it.
        force_upcast: whether pipelines are to leave fp16 for it.

    Raises:
        InputError: it cannot be written.
    """
    a, weights = network.autoencoder, network.state_dict()
    beside = {**scale, "force_upcast": force_upcast}
    if has_kl_layout(a):
        names = kl_names(a)
        weights = {_renamed(name, names): tensor for name, tensor in weights.items()}
        write_network(Path(folder), autoencoder_kl_config(a) | beside, weights)
        return
    config: dict[str, Any] = {"_class_name": OWN_CLASS[1], "autoencoder": a.to_plain(), **beside}
    write_network(Path(folder), config, {f"{OWN_PREFIX}{name}": each for name, each in weights.items()})
    write_class(folder, *OWN_CLASS)


def read_autoencoder_description(folder: str | Path) -> Autoencoder:
    """What an autoencoder's folder is of, without its weights. Raises InputError."""
    path = Path(folder) / CONFIG_FILE
    config = read_plain(path)
    match config.get("_class_name"):
        case name if name == OWN_CLASS[1]:
            return Autoencoder.from_plain(config.get("autoencoder"), str(path))
        case name if name == CLASS_NAME:
            try:
                return autoencoder_from_kl(config)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
        case other:
            raise InputError(f"{path}: holds a {other}; allowed: {CLASS_NAME} or {OWN_CLASS[1]}")


def read_autoencoder(folder: str | Path, *, variant: str | None = None) -> StoredAutoencoder:
    """Weights in fp32 from a folder of ours or of diffusers.

    Raises:
        InputError: naming the file that cannot be read, the key or the layer that does not fit.
    """
    folder = Path(folder)
    a, config = read_autoencoder_description(folder), read_plain(folder / CONFIG_FILE)
    weights = {name: tensor.float() for name, tensor in read_weights(folder, variant).items()}
    with torch.device("meta"):
        network = AutoencoderNetwork(a)
    if config["_class_name"] == CLASS_NAME:
        names = kl_names(a)
        assign(network, _of_today(weights), lambda ours: _renamed(ours, names))
    else:
        assign(network, weights, lambda ours: f"{OWN_PREFIX}{ours}")
    given = {name: config[name] for name in SCALE_KEYS if config.get(name) is not None}
    return StoredAutoencoder(network, {"scaling_factor": SCALING_FACTOR} | given)


def _renamed(parameter: str, names: Mapping[str, str]) -> str:
    module, _, kind = parameter.rpartition(".")
    return f"{names[module]}.{kind}"


def _of_today(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Checkpoints of before diffusers' present attention have other names, and 1x1 convolutions."""
    found = {}
    for name, tensor in weights.items():
        if ".attentions." in name:
            for old, new in OLD_NAMES.items():
                name = name.replace(old, new)
            tensor = tensor.flatten(1) if tensor.dim() == 4 else tensor
        found[name] = tensor
    return found

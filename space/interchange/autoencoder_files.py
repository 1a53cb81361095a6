"""An autoencoder's folder: `config.json` and safetensors, as diffusers' `AutoencoderKL` where that has a
layout for it, else as `PipelineAutoencoder`. Stock pipelines load either."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
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
        InputError: naming the file that cannot be read, the key or the layer that does not fit, weights that
            are not finite, or a scale that no latents can have.
    """
    folder = Path(folder)
    a, config = read_autoencoder_description(folder), read_plain(folder / CONFIG_FILE)
    is_own = config["_class_name"] == OWN_CLASS[1]
    usual = {} if is_own else {"scaling_factor": SCALING_FACTOR}
    scale = {name: value for name, value in (usual | config).items() if name in SCALE_KEYS}
    check_scale(scale | {"latent_channels": a.latent_channels}, str(folder))
    scale = {name: value for name, value in scale.items() if value is not None}
    weights = {name: tensor.float() for name, tensor in read_weights(folder, variant).items()}
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{folder}: {name} is not finite: NaN or infinite numbers in it")
    with torch.device("meta"):
        network = AutoencoderNetwork(a)
    if is_own:
        assign(network, weights, lambda ours: f"{OWN_PREFIX}{ours}")
    else:
        names = kl_names(a)
        assign(network, _of_today(weights), lambda ours: _renamed(ours, names))
    return StoredAutoencoder(network, scale)


def check_scale(config: Any, where: str) -> None:
    """Raises InputError, naming the field, for a scale or shift that no latents can have.

    Args:
        config: diffusers' keys, as far as they are there, and latent_channels.
        where: begins the message.
    """
    for name, wanted in (
        ("scaling_factor", "a number above 0"),
        ("shift_factor", "a finite number, or null"),
    ):
        value = config.get(name)
        if value is None and name == "shift_factor":
            continue
        if not _is_finite(value) or (name == "scaling_factor" and value <= 0):
            raise InputError(f"{where} has {name} = {value}; needed: {wanted}")
    both = {name: config.get(name) for name in ("latents_mean", "latents_std")}
    if all(values is None for values in both.values()):
        return
    for name, values in both.items():
        count = config["latent_channels"]
        is_list = isinstance(values, (list, tuple)) and len(values) == count and all(map(_is_finite, values))
        if not is_list or (name == "latents_std" and min(values) <= 0):
            above = " above 0" if name == "latents_std" else ""
            raise InputError(f"{where} has {name} = {values}; needed: {count} numbers{above}, one a channel")


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


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

"""Checkpoints: a network as a folder of `config.json` and safetensors, ours or a diffusers `unet/`.

Both are plain data, so diffusers is not imported here (`pipeline_unet` does, for its pipelines).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.interchange.diffusers_config import diffusers_config
from space.interchange.from_diffusers import architecture_from_diffusers
from space.interchange.names import diffusers_name
from space.interchange.weight_files import (
    CONFIG_FILE,
    SUFFIXES,
    read_plain,
    read_tensors,
    read_weights,
    write_network,
)
from space.shared.plain import InputError
from space.unet import UNet

Network = TypeVar("Network", bound=nn.Module)
UNET_PREFIX = "unet."  # of our own folders: `PipelineUNet` holds the network under this name
PIPELINE_FILE = "model_index.json"
PIPELINE_UNET = ("space.interchange.pipeline_unet", "PipelineUNet")  # module and class, in a pipeline's index
# Beside the weights of a class of ours, by the name under which diffusers looks for it: so a pipeline around
# one loads with trust_remote_code=True wherever mdsearch is installed.
CLASS_TEXT = """from importlib import import_module

try:  # by name: for what is imported by a statement diffusers would have people install a package so called
    {name} = import_module("{module}").{name}
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "space":
        raise
    raise ImportError(f"{name} needs the package mdsearch: pip install mdsearch ({{error}})") from None
"""


def assign(network: Network, weights: Mapping[str, Tensor], name: Callable[[str], str] = str) -> Network:
    """Give every parameter of a network the tensor that `name` finds for it, without a copy.

    With `name=diffusers_name` the weights are those of a `UNet2DConditionModel`.

    Raises:
        InputError: naming the layer (by both of its names) that is missing, left over or of another shape.
    """
    names = {ours: name(ours) for ours in network.state_dict()}
    for ours, parameter in network.state_dict().items():
        there = names[ours]
        label = there if there == ours else f"{there} (here {ours})"
        if there not in weights:
            raise InputError(f"{label}: missing from the checkpoint")
        if weights[there].shape != parameter.shape:
            raise InputError(
                f"{label}: the checkpoint holds {list(weights[there].shape)}, the architecture needs "
                f"{list(parameter.shape)}"
            )
    left = sorted(set(weights) - set(names.values()))
    if left:
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        raise InputError(f"{left[0]}: in the checkpoint{more}, but the architecture has no such layer")
    network.load_state_dict({ours: weights[there] for ours, there in names.items()}, assign=True)
    return network


def empty_unet(architecture: Architecture) -> UNet:
    """A UNet without memory, for weights to be assigned to: loading needs room for one set of them."""
    with torch.device("meta"):
        return UNet(architecture)


# ---------------------------------------------------------------------- folders


def save(unet: UNet, folder: str | Path, *, coordinates: bool = False) -> None:
    """Write any `unet` as a folder that `load` reads, and `PipelineUNet.from_pretrained` for a pipeline.

    With `coordinates` the latter adds them to the latents, as the network was trained.
    """
    config: dict[str, Any] = {"_class_name": PIPELINE_UNET[1], "architecture": unet.architecture.to_plain()}
    if coordinates:
        config["coordinates"] = True
    weights = {f"{UNET_PREFIX}{name}": tensor for name, tensor in unet.state_dict().items()}
    write_network(Path(folder), config, weights)
    write_class(folder, *PIPELINE_UNET)


def write_class(folder: str | Path, module: str, name: str) -> None:
    """What lets diffusers find a class of ours that lies in this folder."""
    text = CLASS_TEXT.format(module=module, name=name)
    (Path(folder) / f"{module}.py").write_text(text, encoding="utf-8")


def save_diffusers(unet: UNet, folder: str | Path) -> None:
    """Write `unet` as a folder that diffusers' own `UNet2DConditionModel.from_pretrained` reads.

    Raises:
        InputError: naming the field for which diffusers has no layout, before anything is written.
    """
    config = diffusers_config(unet.architecture)
    weights = {diffusers_name(name): tensor for name, tensor in unet.state_dict().items()}
    write_network(Path(folder), config, weights)


def load(path: str | Path, *, variant: str | None = None, size_numbers: int | None = None) -> UNet:
    """A `UNet` with its weights, from a folder of ours or of diffusers.

    Args:
        path: holds `config.json` and weights; or a pipeline, whose `unet/` is meant; or a file of weights
            with `config.json` beside it.
        variant: of the weights, such as fp16.
        size_numbers: for diffusers folders with SDXL's added conditions, see `architecture_from_diffusers`.

    Raises:
        InputError: naming the file that cannot be read, the config key or the layer that does not fit.
    """
    file, folder = Path(path), _network_folder(Path(path))
    weights = read_tensors(file) if file.parent == folder and file.is_file() else None
    config = read_plain(folder / CONFIG_FILE)
    weights = read_weights(folder, variant) if weights is None else weights
    if "architecture" in config:
        architecture = Architecture.from_plain(config["architecture"], str(folder / CONFIG_FILE))
        return assign(empty_unet(architecture), weights, lambda ours: f"{UNET_PREFIX}{ours}")
    architecture = architecture_from_diffusers(
        config,
        size_numbers=size_numbers,
        pooled_width=_number_beside(folder, "text_encoder_2", "projection_dim"),
        context_length=_number_beside(folder, "text_encoder", "max_position_embeddings"),
    )
    return assign(empty_unet(architecture), weights, diffusers_name)


def reads_coordinates(path: str | Path) -> bool:
    """Whether a network that `load` reads is one that `save` wrote with coordinates."""
    return bool(read_plain(_network_folder(Path(path)) / CONFIG_FILE).get("coordinates", False))


def _network_folder(path: Path) -> Path:
    if path.suffix in SUFFIXES and path.is_file():
        return path.parent
    has_own = (path / CONFIG_FILE).is_file() and not (path / PIPELINE_FILE).is_file()
    has_unet = (path / PIPELINE_FILE).is_file() or (path / "unet").is_dir()
    return path / "unet" if has_unet and not has_own else path


def _number_beside(folder: Path, part: str, key: str) -> int | None:
    """What another part of the pipeline says that the network belongs to, if it does."""
    path = folder.parent / part / CONFIG_FILE
    number: Any = read_plain(path).get(key) if path.is_file() else None
    return number if isinstance(number, int) else None

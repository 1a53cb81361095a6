"""Checkpoints: a network as a folder of `config.json` and safetensors, ours or a diffusers `unet/`.

Both are plain data, so diffusers is not imported here (`pipeline_unet` does, for its pipelines).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from space.architecture import Architecture
from space.interchange.diffusers_config import diffusers_config
from space.interchange.from_diffusers import SDXL_SIZE_NUMBERS, architecture_from_diffusers
from space.shared.files import replacing
from space.shared.plain import InputError
from space.unet import UNet

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
PREFIX = "unet."  # of our own folders: `PipelineUNet` holds the network under this name

# ---------------------------------------------------------------------- names

# In order, on a parameter's whole name: where it stands, then what it is.
_RENAMES = [
    (re.compile(pattern), there)
    for pattern, there in (
        (r"^time\.0\.", "time_embedding.linear_1."),
        (r"^time\.2\.", "time_embedding.linear_2."),
        (r"^added\.0\.", "add_embedding.linear_1."),
        (r"^added\.2\.", "add_embedding.linear_2."),
        (r"^norm_out\.", "conv_norm_out."),
        (r"^(down|up)\.(\d+)\.stages\.(\d+)\.conv\.", r"\1_blocks.\2.resnets.\3."),
        (r"^(down|up)\.(\d+)\.stages\.(\d+)\.stack\.", r"\1_blocks.\2.attentions.\3."),
        (r"^(down|up)\.(\d+)\.(?:down|up)sample\.(?:conv\.)?", r"\1_blocks.\2.\1samplers.0.conv."),
        (r"^middle\.(\d+)\.conv\.", r"mid_block.resnets.\1."),
        (r"^middle\.(\d+)\.stack\.", r"mid_block.attentions.\1."),
        (r"\.time\.", ".time_emb_proj."),
        (r"\.shortcut\.", ".conv_shortcut."),
        (r"\.project_(in|out)\.", r".proj_\1."),
        (r"\.layers\.", ".transformer_blocks."),
        (r"\.self_norm\.", ".norm1."),
        (r"\.cross_norm\.", ".norm2."),
        (r"\.feed_norm\.", ".norm3."),
        (r"\.self_attention\.", ".attn1."),
        (r"\.cross_attention\.", ".attn2."),
        (r"\.query\.", ".to_q."),
        (r"\.key\.", ".to_k."),
        (r"\.value\.", ".to_v."),
        (r"(attn\d)\.out\.", r"\1.to_out.0."),
        (r"\.feed_forward\.expand\.", ".ff.net.0.proj."),
        (r"\.feed_forward\.reduce\.", ".ff.net.2."),
    )
]


def diffusers_name(ours: str) -> str:
    """The name of one of our parameters in the diffusers layout.

    >>> diffusers_name("down.1.stages.0.stack.layers.0.self_attention.query.weight")
    'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight'
    """
    for pattern, there in _RENAMES:
        ours = pattern.sub(there, ours)
    return ours


def assign(unet: UNet, weights: Mapping[str, Tensor], name: Callable[[str], str] = str) -> UNet:
    """Give every parameter of `unet` the tensor that `name` finds for it, without a copy.

    With `name=diffusers_name` the weights are those of a `UNet2DConditionModel`.

    Raises:
        InputError: naming the layer (by both of its names) that is missing, left over or of another shape.
    """
    names = {ours: name(ours) for ours in unet.state_dict()}
    for ours, parameter in unet.state_dict().items():
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
    unet.load_state_dict({ours: weights[there] for ours, there in names.items()}, assign=True)
    return unet


# ---------------------------------------------------------------------- folders


def save(unet: UNet, folder: str | Path) -> None:
    """Write any `unet` as a folder that `load` reads, and `PipelineUNet.from_pretrained` for a pipeline."""
    config = {"_class_name": "PipelineUNet", "architecture": unet.architecture.to_plain()}
    _write(Path(folder), config, {f"{PREFIX}{name}": tensor for name, tensor in unet.state_dict().items()})


def save_diffusers(unet: UNet, folder: str | Path) -> None:
    """Write `unet` as a folder that diffusers' own `UNet2DConditionModel.from_pretrained` reads.

    Raises:
        InputError: naming the field for which diffusers has no layout, before anything is written.
    """
    config = diffusers_config(unet.architecture)
    weights = {diffusers_name(name): tensor for name, tensor in unet.state_dict().items()}
    _write(Path(folder), config, weights)


def load(folder: str | Path, *, size_numbers: int = SDXL_SIZE_NUMBERS) -> UNet:
    """A `UNet` with its weights, from a folder of ours or from the `unet/` folder of a diffusers model.

    Args:
        folder: holds `config.json` and safetensors, in one file or sharded.
        size_numbers: for diffusers folders with SDXL's added conditions, see `architecture_from_diffusers`.

    Raises:
        InputError: naming the file that cannot be read, the config key or the layer that does not fit.
    """
    folder = Path(folder)
    config, weights = _read_config(folder), _read_weights(folder)
    if "architecture" in config:
        architecture = Architecture.from_plain(config["architecture"], str(folder / CONFIG_FILE))
        return assign(empty_unet(architecture), weights, lambda ours: f"{PREFIX}{ours}")
    architecture = architecture_from_diffusers(config, size_numbers=size_numbers)
    return assign(empty_unet(architecture), weights, diffusers_name)


def empty_unet(architecture: Architecture) -> UNet:
    """A UNet without memory, for weights to be assigned to: loading needs room for one set of them."""
    with torch.device("meta"):
        return UNet(architecture)


def _write(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error}") from None
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    with replacing(folder / WEIGHTS_FILE) as own:
        save_file(tensors, own, metadata={"format": "pt"})


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a model's config: {error}") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a mapping of fields")
    return config


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors, in one file or in those that its index names."""
    try:
        files = [WEIGHTS_FILE]
        if (folder / INDEX_FILE).exists():
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
            files = sorted(set(index["weight_map"].values()))
        weights: dict[str, Tensor] = {}
        for name in files:
            weights |= load_file(folder / name)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder}: weights cannot be read (needed: {WEIGHTS_FILE}): {error}") from None
    return weights

"""A ControlNet as a folder: in diffusers' layout of a `ControlNetModel` where it has one, or in our own.

Both are plain data, so diffusers is not imported here (`pipeline_controlnet` does, for its pipelines).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from space.architecture import Architecture
from space.controlnet import ControlNet
from space.interchange.checkpoints import write_class
from space.interchange.diffusers_config import diffusers_config
from space.interchange.names import diffusers_name
from space.interchange.weight_files import write_network
from space.shared.plain import InputError

PIPELINE_CONTROLNET = ("space.interchange.pipeline_controlnet", "PipelineControlNet")
STOCK_CONTROLNET = ("diffusers", "ControlNetModel")
CONTROLNET_PREFIX = "network."  # of our own folders: `PipelineControlNet` holds the network under this name
# Of a UNet's config, what a ControlNetModel's says, too.
_KEYS = (
    "in_channels", "block_out_channels", "layers_per_block", "down_block_types", "mid_block_type",
    "norm_num_groups", "cross_attention_dim", "transformer_layers_per_block", "attention_head_dim",
    "use_linear_projection", "addition_embed_type", "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
)  # fmt: skip
_OWN = (
    (re.compile(r"^embedding\."), "controlnet_cond_embedding."),
    (re.compile(r"^skips\."), "controlnet_down_blocks."),
    (re.compile(r"^end\."), "controlnet_mid_block."),
)


def controlnet_name(ours: str) -> str:
    """The name of one of our parameters in the layout of a `ControlNetModel`.

    >>> controlnet_name("skips.0.weight"), controlnet_name("down.0.downsample.conv.bias")
    ('controlnet_down_blocks.0.weight', 'down_blocks.0.downsamplers.0.conv.bias')
    """
    for pattern, there in _OWN:
        if pattern.match(ours):
            return pattern.sub(there, ours)
    return diffusers_name(ours)


def controlnet_config(architecture: Architecture, widths: tuple[int, ...]) -> dict[str, Any]:
    """The `ControlNetModel` config of a ControlNet for an architecture.

    Raises:
        InputError: naming the field for which diffusers has no layout: as for the UNet, but for its way up;
            a middle that is missing, levels of unequal numbers of blocks, another width of the embedded time.
    """
    config = diffusers_config(_with_plain_ups(architecture))
    if config["mid_block_type"] is None:
        raise _no_layout("middle", None, "one")
    if not isinstance(config["layers_per_block"], int):
        raise _no_layout("levels", config["layers_per_block"], "as many blocks in each")
    if config["time_embedding_dim"] != 4 * config["block_out_channels"][0]:
        raise _no_layout("time_width", config["time_embedding_dim"], "four times the outermost channels")
    return {
        "_class_name": STOCK_CONTROLNET[1],
        **{key: config[key] for key in _KEYS if key in config},
        "conditioning_embedding_out_channels": list(widths),
    }


def save_controlnet(network: ControlNet, folder: str | Path, *, coordinates: bool = False) -> tuple[str, str]:
    """Write a folder that `ControlNetModel.from_pretrained` reads, or, where diffusers has no layout for it,
    `PipelineControlNet.from_pretrained`; returns module and class, as a pipeline's index names them.

    With `coordinates` the latter adds them to the latents, as the network was trained.
    """
    weights = network.state_dict()
    try:
        if coordinates:
            raise _no_layout("latents.coordinates", True, "false")
        config = controlnet_config(network.architecture, network.widths)
    except InputError:
        own = {"architecture": network.architecture.to_plain(), "widths": list(network.widths)}
        config = {"_class_name": PIPELINE_CONTROLNET[1], **own, "coordinates": coordinates}
        write_network(
            Path(folder), config, {f"{CONTROLNET_PREFIX}{name}": item for name, item in weights.items()}
        )
        write_class(folder, *PIPELINE_CONTROLNET)
        return PIPELINE_CONTROLNET
    write_network(Path(folder), config, {controlnet_name(name): item for name, item in weights.items()})
    return STOCK_CONTROLNET


def _with_plain_ups(a: Architecture) -> Architecture:
    """The same on the way down, with a way up that diffusers has a layout for: none is copied."""
    a = a.canonical()
    levels = [replace(level, up=(level.down[0],) * (len(level.down) + 1)) for level in a.levels]
    return replace(a, levels=tuple(levels))


def _no_layout(field: str, value: Any, allowed: str) -> InputError:
    return InputError(f"{field}: {value!r} has no layout of a ControlNetModel; there: {allowed}")

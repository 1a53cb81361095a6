"""The one table of kinds. What stands here can be built, priced and searched; nothing else can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from space.kinds import convolution, image, transformer
from space.kinds.stage import Kind, Stage
from space.shared.plain import entry_of

if TYPE_CHECKING:
    from torch import nn

# Those that a level may consist of (`Level.conv`): map and time embedding in, map out.
CONV_BLOCKS: Mapping[str, Kind] = {
    "full": convolution.FULL,
    "separable": convolution.SEPARABLE,
}
KINDS: Mapping[str, Kind] = {
    **CONV_BLOCKS,
    "time embedding": transformer.TIME,
    "added conditions": transformer.ADDED,
    "guidance": transformer.GUIDANCE,
    "conv in": convolution.CONV_IN,
    "project in": transformer.PROJECT_IN,
    "transformer": transformer.LAYER,
    "project out": transformer.PROJECT_OUT,
    "downsample": convolution.DOWNSAMPLE,
    "upsample": convolution.UPSAMPLE,
    "conv out": convolution.CONV_OUT,
}

# Those that a level of an autoencoder may consist of (`ImageLevel.conv`), and all that it is made of.
IMAGE_BLOCKS: Mapping[str, Kind] = {**CONV_BLOCKS, "plain": image.PLAIN}
IMAGE_KINDS: Mapping[str, Kind] = {
    **IMAGE_BLOCKS,
    "image in": image.IMAGE_IN,
    "latent conv": image.LATENT_CONV,
    "map attention": image.ATTENTION,
    "padded downsample": image.PADDED_DOWNSAMPLE,
    "upsample": convolution.UPSAMPLE,
    "image out": image.IMAGE_OUT,
    "normed out": image.NORMED_OUT,
}

_OF_ALL = ("time_width", "norm_groups")  # fields that act in every network, whatever its blocks

# Of each conv block, the fields of `Architecture` that act on this kind alone: {"separable": (..., ...)}.
OWN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    name: tuple(option for option in kind.options._fields if option not in _OF_ALL)
    for name, kind in CONV_BLOCKS.items()
}
BLOCK_OPTIONS = tuple(dict.fromkeys(option for options in OWN_OPTIONS.values() for option in options))


def kind_of(stage: Stage) -> Kind:
    """Raises InputError for a kind without an entry."""
    table = IMAGE_KINDS if stage.kind in IMAGE_KINDS and stage.kind not in KINDS else KINDS
    return entry_of(table, stage.kind, "kind")


def build(stage: Stage) -> nn.Module:
    """The module of a stage, with new weights."""
    return kind_of(stage).build(stage)

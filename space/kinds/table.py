"""The one table of kinds. What stands here can be built, priced and searched; nothing else can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from space.kinds import convolution, transformer
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

_OF_ALL = ("time_width", "norm_groups")  # fields that act in every network, whatever its blocks

# Of each conv block, the fields of `Architecture` that act on this kind alone: {"separable": (..., ...)}.
OWN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    name: tuple(option for option in kind.options._fields if option not in _OF_ALL)
    for name, kind in CONV_BLOCKS.items()
}
BLOCK_OPTIONS = tuple(dict.fromkeys(option for options in OWN_OPTIONS.values() for option in options))


def kind_of(stage: Stage) -> Kind:
    """Raises InputError for a kind without an entry."""
    return entry_of(KINDS, stage.kind, "kind")


def build(stage: Stage) -> nn.Module:
    """The module of a stage, with new weights."""
    return kind_of(stage).build(stage)

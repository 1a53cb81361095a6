"""The one walk over an architecture: the network as a tuple of stages, in the order of the forward pass.

The module, the prices, the map of a space and the samplers' properties read it and nothing else. A level
is put together from its own choices, its neighbours' widths (the way up joins what the way down and the
level above left) and what is chosen for the whole network. Its units are kept: a search comes by the same
ones again and again, so that a network is walked in some microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from space.architecture import Architecture, head_count
from space.kinds.stage import Stage
from space.kinds.table import CONV_BLOCKS, KINDS
from space.kinds.transformer import LayerOptions, ProjectionOptions
from space.levels import Level, Middle

Stages = tuple[Stage, ...]
RESAMPLING = ("downsample", "upsample")
STACK = ("project in", "transformer", "project out")
KEPT = 32_768  # of each sort of part


def stages(architecture: Architecture) -> Stages:
    """The whole network, from the time embedding to the last convolution; a transformer layer is a stage.

    `where` reads "embeddings", "in", "down-1" to "down-N", "middle", "up-N" to "up-1", "out". A conv block
    and what follows it until the next one make a unit; a unit's first stage pops, its last one pushes.
    """
    return tuple(chain.from_iterable(_parts(architecture)))


def units(part: Stages) -> list[Stages]:
    """The units of one place of a network; downsampling and upsampling belong to none."""
    inside = tuple(stage for stage in part if stage.kind not in RESAMPLING)
    cuts = [at for at, stage in enumerate(inside) if stage.kind in CONV_BLOCKS]
    return [inside[start:end] for start, end in zip(cuts, [*cuts[1:], len(inside)], strict=True)]


# ---------------------------------------------------------------------- level by level


def _parts(a: Architecture) -> Iterator[Stages]:
    whole, size, last = _whole(_values_of(a)), a.latent_size, len(a.levels) - 1
    outer = channels = a.levels[0].channels
    yield _entry(outer, a.added_width, whole)
    entered = [outer]  # how wide each level is entered on the way down, which its way up joins
    for index, level in enumerate(a.levels):
        blocks = _blocks(level, f"down-{index + 1}", level.channels, size >> index, whole)
        for layers in level.down:
            yield _unit(blocks, channels, layers, "push")
            channels = level.channels
        if index < last:
            yield _downsample(blocks)
            entered.append(channels)
    if a.middle is not None:
        blocks = _blocks(a.middle, "middle", channels, size >> last, whole)
        for layers in a.middle.blocks:
            yield _unit(blocks, channels, layers, "none")
    for index in range(last, -1, -1):
        level = a.levels[index]
        blocks = _blocks(level, f"up-{index + 1}", level.channels, size >> index, whole)
        for skip, layers in zip([*[level.channels] * len(level.down), entered[index]], level.up, strict=True):
            yield _unit(blocks, channels + skip, layers, "pop")
            channels = level.channels
        if index:
            yield _upsample(blocks)
    yield _exit(outer, whole)


# ---------------------------------------------------------------------- the parts, each made once


class _Whole:
    """What is chosen for the whole network: all fields of `Architecture` that stand beside the levels. Equal
    choices are one object, which hashes faster than twenty values."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.__dict__.update(zip(_FIELDS, values, strict=True))

    def __getattr__(self, name: str) -> Any:  # tells mypy that there are more; never called for a field
        raise AttributeError(name)


_FIELDS = [name for name in Architecture.__dataclass_fields__ if name not in ("levels", "middle")]
_values_of = attrgetter(*_FIELDS)
_whole = lru_cache(KEPT)(_Whole)


class _Blocks(NamedTuple):
    """What the units of one side of a level have in common."""

    where: str
    channels: int
    size: int
    conv: str
    conv_options: Any
    layer_options: LayerOptions | None  # None where no layer stands
    projection_options: ProjectionOptions | None


def _blocks(stack: Level | Middle, where: str, channels: int, size: int, whole: _Whole) -> _Blocks:
    conv_options = _options(stack.conv, whole)
    if not stack.layers:
        return _Blocks(where, channels, size, stack.conv, conv_options, None, None)
    layers = _layer_options(stack.self_attention, stack.cross_attention, channels, whole)
    projected = None if whole.stack_projection == "none" else _options("project in", whole)
    return _Blocks(where, channels, size, stack.conv, conv_options, layers, projected)


@lru_cache(KEPT)
def _unit(blocks: _Blocks, inputs: int, layers: int, skip: Literal["none", "push", "pop"]) -> Stages:
    """A conv block and, where layers follow it, a stack of them."""
    where, channels, size, conv, conv_options, layer_options, projection_options = blocks
    layer = Stage("transformer", channels, channels, size, layer_options, where)
    unit = [Stage(conv, inputs, channels, size, conv_options, where), *[layer] * layers]
    if layers and projection_options is not None:
        unit.insert(1, Stage("project in", channels, channels, size, projection_options, where))
        unit.append(Stage("project out", channels, channels, size, projection_options, where))
    if skip != "none":
        at = 0 if skip == "pop" else -1
        unit[at] = replace(unit[at], skip=skip)
    return tuple(unit)


@lru_cache(KEPT)
def _downsample(level: _Blocks) -> Stages:
    return (Stage("downsample", level.channels, level.channels, level.size, where=level.where, skip="push"),)


@lru_cache(KEPT)
def _upsample(level: _Blocks) -> Stages:
    return (Stage("upsample", level.channels, level.channels, level.size, where=level.where),)


@lru_cache(KEPT)
def _entry(outer: int, added_width: int, whole: _Whole) -> Stages:
    part = [Stage("time embedding", outer, whole.time_width, 1, where="embeddings")]
    if added_width:
        part.append(Stage("added conditions", added_width, whole.time_width, 1, where="embeddings"))
    size = whole.latent_size
    return (*part, Stage("conv in", whole.latent_channels, outer, size, where="in", skip="push"))


@lru_cache(KEPT)
def _exit(outer: int, whole: _Whole) -> Stages:
    options = _options("conv out", whole)
    return (Stage("conv out", outer, whole.latent_channels, whole.latent_size, options, "out"),)


@lru_cache(KEPT)
def _options(kind: str, whole: _Whole) -> Any:
    names = KINDS[kind].options
    return names(*[getattr(whole, name) for name in names._fields])


@lru_cache(KEPT)
def _layer_options(self_attention: bool, cross_attention: bool, channels: int, whole: _Whole) -> LayerOptions:
    options: dict[str, Any] = {}
    if self_attention or cross_attention:
        heads = head_count(channels, whole.heads, whole.head_width)
        options = {"attention": whole.attention, "heads": heads}
    if self_attention:
        options["shared_key_value"] = whole.shared_key_value
    if cross_attention:
        options |= {"context_width": whole.context_width, "context_length": whole.context_length}
    return LayerOptions(
        self_attention, cross_attention, whole.feed_forward_ratio, whole.activation, **options
    )

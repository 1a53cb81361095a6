"""The one walk over an architecture: the network as a tuple of stages, in the order of the forward pass.

The module, the prices, the map of a space and the samplers' properties read it and nothing else. A level
is put together from its own choices, its neighbours' widths (the way up joins what the way down and the
level above left) and what is chosen for the whole network. Stages are kept: a
search comes by the same ones again and again, so that a network is walked in some microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import starmap
from operator import attrgetter, itemgetter
from typing import Any, Literal

from space.architecture import Architecture, head_count
from space.kinds.stage import Stage
from space.kinds.table import CONV_BLOCKS, KINDS
from space.kinds.transformer import LayerOptions, ProjectionOptions
from space.levels import Level, Middle

Stages = tuple[Stage, ...]
RESAMPLING = ("downsample", "upsample")
STACK = ("project in", "transformer", "project out")
KEPT = 65_536  # of each sort of part


def stages(architecture: Architecture) -> Stages:
    """The whole network, from the time embedding to the last convolution; a transformer layer is a stage.

    `where` reads "embeddings", "in", "down-1" to "down-N", "middle", "up-N" to "up-1", "out". A conv block
    and what follows it until the next one make a unit; a unit's first stage pops, its last one pushes.
    """
    return tuple(starmap(_placed, walk(architecture)))


def work(architecture: Architecture) -> Iterator[Stage]:
    """The same stages without their places: equal work is one object, while it is kept."""
    return map(itemgetter(0), walk(architecture))


def units(part: Stages) -> list[Stages]:
    """The units of one place of a network; downsampling and upsampling belong to none."""
    inside = tuple(stage for stage in part if stage.kind not in RESAMPLING)
    cuts = [at for at, stage in enumerate(inside) if stage.kind in CONV_BLOCKS]
    return [inside[start:end] for start, end in zip(cuts, [*cuts[1:], len(inside)], strict=True)]


# ---------------------------------------------------------------------- level by level


Skip = Literal["none", "push", "pop"]
Placed = tuple[Stage, str, Skip]


def walk(a: Architecture) -> Iterator[Placed]:
    """The same as `stages`, faster: each stage without its place, where it stands, and its skip."""
    whole, size, last = _whole(_values_of(a)), a.latent_size, len(a.levels) - 1
    outer = channels = a.levels[0].channels
    yield _kept("time embedding", outer, a.time_width, 1), "embeddings", "none"
    if a.added_width:
        yield _kept("added conditions", a.added_width, a.time_width, 1), "embeddings", "none"
    if a.guidance_width:
        yield _kept("guidance", a.guidance_width, outer, 1), "embeddings", "none"
    yield _kept("conv in", a.input_channels, outer, size), "in", "push"
    entered = [outer]  # how wide each level is entered on the way down, which its way up joins
    for index, level in enumerate(a.levels):
        where, options = f"down-{index + 1}", _unit_options(level, level.channels, whole)
        for layers in level.down:
            yield from _unit(channels, level.channels, size >> index, layers, options, where, "push")
            channels = level.channels
        if index < last:
            yield _kept("downsample", channels, channels, size >> index), where, "push"
            entered.append(channels)
    if a.middle is not None:
        options = _unit_options(a.middle, channels, whole)
        for layers in a.middle.blocks:
            yield from _unit(channels, channels, size >> last, layers, options, "middle", "none")
    for index in range(last, -1, -1):
        level = a.levels[index]
        where, options = f"up-{index + 1}", _unit_options(level, level.channels, whole)
        for skip, layers in zip([*[level.channels] * len(level.down), entered[index]], level.up, strict=True):
            joined = channels + skip
            yield from _unit(joined, level.channels, size >> index, layers, options, where, "pop")
            channels = level.channels
        if index:
            yield _kept("upsample", channels, channels, size >> index), where, "none"
    yield _kept("conv out", outer, a.latent_channels, size, _options("conv out", whole)), "out", "none"


def _unit(
    inputs: int, channels: int, size: int, layers: int, options: UnitOptions, where: str, skip: Skip
) -> list[Placed]:
    """A conv block and the stack of layers that follows it, if any: the first stage pops, the last pushes."""
    conv, conv_options, layer_options, projection_options = options
    unit = [_kept(conv, inputs, channels, size, conv_options)]
    if layers:
        unit += [_kept("transformer", channels, channels, size, layer_options)] * layers
        if projection_options is not None:
            unit.insert(1, _kept("project in", channels, channels, size, projection_options))
            unit.append(_kept("project out", channels, channels, size, projection_options))
    placed: list[Placed] = [(stage, where, "none") for stage in unit]
    if skip != "none":
        at = 0 if skip == "pop" else -1
        placed[at] = unit[at], where, skip
    return placed


# ---------------------------------------------------------------------- what is kept


_kept = lru_cache(KEPT)(Stage)


@lru_cache(KEPT)
def _placed(stage: Stage, where: str, skip: Skip) -> Stage:
    return replace(stage, where=where, skip=skip)


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


UnitOptions = tuple[str, Any, LayerOptions | None, ProjectionOptions | None]


def _unit_options(stack: Level | Middle, channels: int, whole: _Whole) -> UnitOptions:
    """What the units of a stack have in common: kind and options of the conv block, options of layers and of
    projections; None where no layer stands."""
    conv_options = _options(stack.conv, whole)
    if not stack.layers:
        return stack.conv, conv_options, None, None
    layers = _layer_options(stack.self_attention, stack.cross_attention, channels, whole)
    projected = None if whole.stack_projection == "none" else _options("project in", whole)
    return stack.conv, conv_options, layers, projected


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

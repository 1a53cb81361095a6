"""Which slices of shared weights the parameters of an architecture are.

A width takes the leading channels, a number of blocks or layers the first ones (on the way up the last block,
which joins what entered the level, is the last of all), a smaller kernel the centre. What a block's input was
joined from, the halves of a gate, sines and cosines, and heads are segments, each cut by itself. The kinds of
conv block have weights of their own; activation, kind of attention and shared keys and values share theirs.

Names, shapes and segments come from `stages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.kinds.stage import Axis, Stage
from space.kinds.table import CONV_BLOCKS, build, kind_of
from space.stages import RESAMPLING, Stages, stages
from space.subnet import NamedUnit, NamedUnits, units_of


class Piece(NamedTuple):
    """A parameter of a candidate, by its name in the UNet, and what it is of the supernet's."""

    name: str
    shared: str
    axes: tuple[Axis, ...]
    owner: type[nn.Module]


def longer(one: Axis, other: Axis) -> Axis:
    """Each segment as long as the longer of two, and as many as there are in the one that has more."""
    count = max(len(one.segments), len(other.segments))
    padded = [axis.segments + (0,) * (count - len(axis.segments)) for axis in (one, other)]
    return Axis(tuple(map(max, *padded)), one.centred)


def taken(parameter: Tensor, axes: Sequence[Axis], most: Sequence[Axis]) -> Tensor:
    for dimension, (own, whole) in enumerate(zip(axes, most, strict=True)):
        if own == whole:
            continue
        parts = [parameter.narrow(dimension, start, length) for start, length in ranges(own, whole)]
        parameter = parts[0] if len(parts) == 1 else torch.cat(parts, dim=dimension)
    return parameter


@lru_cache(65_536)
def ranges(own: Axis, whole: Axis) -> tuple[tuple[int, int], ...]:
    """Starts and lengths of the segments within the shared axis; neighbours are one."""
    found: list[tuple[int, int]] = []
    for start, length, most in zip(
        (0, *accumulate(whole.segments)), own.segments, whole.segments, strict=False
    ):
        begin = start + (most - length) // 2 if own.centred else start
        if found and sum(found[-1]) == begin:
            found[-1] = found[-1][0], found[-1][1] + length
        elif length:
            found.append((begin, length))
    return tuple(found)


# ---------------------------------------------------------------------- the parameters of an architecture


def pieces(architecture: Architecture, units: NamedUnits | None = None) -> Iterator[Piece]:
    """The parameters of `UNet(architecture)`, in the order of the forward pass; `units` are what its blocks
    and layers are called in shared weights, by default what all architectures have."""
    width = 0
    for stage, name, shared in _named(architecture, units):
        inputs = Axis((width, stage.inputs - width) if stage.skip == "pop" else (stage.inputs,))
        yield from _of_stage(stage, inputs, name, shared)
        width = stage.outputs


def stage_modules(architecture: Architecture) -> Iterator[tuple[Stage, str]]:
    """The stages in the order of the forward pass, each with the name of its module in `UNet`."""
    return ((stage, name) for stage, name, _ in _named(architecture))


def _named(architecture: Architecture, units: NamedUnits | None = None) -> Iterator[tuple[Stage, str, str]]:
    """Every stage, its module's name in `UNet`, and its name in shared weights."""
    names = units_of(architecture) if units is None else units
    for where, part in groupby(stages(architecture), attrgetter("where")):
        inside = tuple(part)
        named = _names(len(architecture.levels), where, inside, names.get(where, ()))
        yield from ((stage, *both) for stage, both in zip(inside, named, strict=True))


def _of_stage(stage: Stage, inputs: Axis, name: str, shared: str) -> Iterator[Piece]:
    axes = kind_of(stage).axes(stage, inputs)
    for own, shape, owner in _parameters(stage):
        module, _, parameter = own.rpartition(".")
        leading = axes[module] if parameter == "weight" else axes[module][:1]
        whole = (*leading, *(Axis((length,)) for length in shape[len(leading) :]))
        yield Piece(f"{name}.{own}", f"{shared}/{own.replace('.', '/')}", whole, owner)
    if stage.kind in NORM_BEFORE:  # it belongs to what surrounds the stage
        norm = NORM_BEFORE[stage.kind]
        around = name.rpartition(".")[0]
        for own in ("weight", "bias"):
            path = f"{around}.{norm}.{own}" if around else f"{norm}.{own}"
            yield Piece(path, f"{shared}/{norm}/{own}", (inputs,), nn.GroupNorm)


NORM_BEFORE = {"project in": "norm", "conv out": "norm_out"}


@lru_cache(4096)
def _parameters(stage: Stage) -> tuple[tuple[str, tuple[int, ...], type[nn.Module]], ...]:
    """Name, shape and whose it is, of every parameter of a stage's module."""
    with torch.device("meta"):
        module = build(stage)
    owners = dict(module.named_modules())
    return tuple(
        (name, tuple(parameter.shape), type(owners[name.rpartition(".")[0]]))
        for name, parameter in module.named_parameters()
    )


def _names(levels: int, where: str, part: Stages, units: Sequence[NamedUnit]) -> Iterator[tuple[str, str]]:
    """Of the stages of one place: the module's name in `UNet`, and its name in shared weights."""
    side, _, level = where.partition("-")
    place = {
        "down": f"down.{int(level or 1) - 1}",
        "up": f"up.{levels - int(level or 1)}",
    }.get(side, side)
    block, layer = -1, 0
    for stage in part:
        if stage.kind in ALONE:
            yield ALONE[stage.kind], ALONE[stage.kind]
        elif stage.kind in RESAMPLING:
            yield f"{place}.{stage.kind}", f"{where}/{stage.kind}"
        else:
            if stage.kind in CONV_BLOCKS:
                block, layer = block + 1, 0
            unit = f"{place}.{block}" if side == "middle" else f"{place}.stages.{block}"
            if stage.kind in CONV_BLOCKS:
                yield f"{unit}.conv", f"{where}/{units[block].conv}/{stage.kind}"
            elif stage.kind == "transformer":
                yield f"{unit}.stack.layers.{layer}", f"{where}/{units[block].layers[layer]}"
                layer += 1
            else:
                kind = stage.kind.replace(" ", "_")
                yield f"{unit}.stack.{kind}", f"{where}/{units[block].conv}/{kind}"


ALONE = {
    "time embedding": "time",
    "added conditions": "added",
    "guidance": "guidance",
    "conv in": "conv_in",
    "conv out": "conv_out",
}

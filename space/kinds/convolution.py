"""The kinds that convolve: blocks, the first and the last convolution, halving and doubling the map.

`held` counts what the operators of `space/blocks.py` hand back for as long as the block holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from space.kinds.rules import NOTHING, Cost, conv, linear, norm
from space.kinds.stage import Axis, Kind, Stage, WeightAxes, one_product

if TYPE_CHECKING:
    from torch import nn

# ---------------------------------------------------------------------- SD's residual block


class FullOptions(NamedTuple):
    time_width: int
    norm_groups: int


def _full_cost(stage: Stage) -> Cost:
    """norm, 3x3, time projection, norm, 3x3, and a 1x1 shortcut where the width changes."""
    inputs, outputs, size = stage.inputs, stage.outputs, stage.size
    cost = norm(inputs) + conv(inputs, outputs, 3, size) + _time(stage)
    return cost + norm(outputs) + conv(outputs, outputs, 3, size) + _shortcut(stage)


def _full_held(stage: Stage) -> int:
    """Two maps around the first swish; the block's map, its swish and the convolution of it; time added."""
    inputs, outputs = stage.inputs * stage.pixels, stage.outputs * stage.pixels
    return max(2 * inputs, inputs + outputs, 3 * outputs, _time_added(stage))


def _full_block(stage: Stage) -> nn.Module:
    from space.blocks import FullBlock

    return FullBlock(stage.inputs, stage.outputs, stage.options.time_width, stage.options.norm_groups)


def _full_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    out, time = Axis((stage.outputs,)), Axis((stage.options.time_width,))
    return {
        "norm1": (inputs,),
        "conv1": (out, inputs),
        "time": (out, time),
        "norm2": (out,),
        "conv2": (out, out),
        "shortcut": (out, inputs),
    }


FULL = Kind("full conv block", _full_cost, _full_held, _full_block, _full_axes, FullOptions)

# ---------------------------------------------------------------------- the separable block, section 3.3


class SeparableOptions(NamedTuple):
    time_width: int
    norm_groups: int
    separable_expansion: int
    separable_kernel: int


def _separable_cost(stage: Stage) -> Cost:
    """depthwise k x k, norm, 1x1 to expansion * outputs, 1x1 back, time projection, shortcut."""
    inputs, outputs, size, options = stage.inputs, stage.outputs, stage.size, stage.options
    hidden = options.separable_expansion * outputs
    cost = conv(inputs, inputs, options.separable_kernel, size, groups=inputs) + norm(inputs)
    cost += conv(inputs, hidden, 1, size) + conv(hidden, outputs, 1, size)
    return cost + _time(stage) + _shortcut(stage)


def _separable_held(stage: Stage) -> int:
    """Two maps around the norm; the expansion, before and after its swish; time added; the sum."""
    inputs, outputs = stage.inputs * stage.pixels, stage.outputs * stage.pixels
    hidden = stage.options.separable_expansion * outputs
    summed = (3 if stage.inputs != stage.outputs else 2) * outputs
    return max(2 * inputs, inputs + hidden, 2 * hidden, hidden + outputs, _time_added(stage), summed)


def _separable_block(stage: Stage) -> nn.Module:
    from space.blocks import SeparableBlock

    return SeparableBlock(stage.inputs, stage.outputs, *stage.options)


def _separable_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    out, time = Axis((stage.outputs,)), Axis((stage.options.time_width,))
    hidden = Axis((stage.options.separable_expansion * stage.outputs,))
    kernel = Axis((stage.options.separable_kernel,), centred=True)
    return {
        "depthwise": (inputs, Axis((1,)), kernel, kernel),
        "norm": (inputs,),
        "expand": (hidden, inputs),
        "reduce": (out, hidden),
        "time": (out, time),
        "shortcut": (out, inputs),
    }


SEPARABLE = Kind(
    "separable conv block",
    _separable_cost,
    _separable_held,
    _separable_block,
    _separable_axes,
    SeparableOptions,
)

# ---------------------------------------------------------------------- around the blocks


class OutOptions(NamedTuple):
    norm_groups: int


def _in_cost(stage: Stage) -> Cost:
    return conv(stage.inputs, stage.outputs, 3, stage.size)


def _in_held(stage: Stage) -> int:
    return stage.outputs * stage.pixels


def _in_conv(stage: Stage) -> nn.Module:
    from torch import nn

    return nn.Conv2d(stage.inputs, stage.outputs, 3, padding=1)


CONV_IN = Kind("conv in", _in_cost, _in_held, _in_conv, one_product)


def _out_cost(stage: Stage) -> Cost:
    return norm(stage.inputs) + conv(stage.inputs, stage.outputs, 3, stage.size)


def _out_held(stage: Stage) -> int:
    """The normed map and its swish; the swish and the convolution of it."""
    inputs = stage.inputs * stage.pixels
    return max(2 * inputs, inputs + stage.outputs * stage.pixels)


def _out_conv(stage: Stage) -> nn.Module:
    from space.blocks import zero_conv

    return zero_conv(stage.inputs, stage.outputs)


CONV_OUT = Kind("conv out", _out_cost, _out_held, _out_conv, one_product, OutOptions)


def _down_cost(stage: Stage) -> Cost:
    return conv(stage.inputs, stage.outputs, 3, stage.size // 2)


def _down_held(stage: Stage) -> int:
    return stage.outputs * stage.pixels // 4


def _down(stage: Stage) -> nn.Module:
    from space.blocks import make_downsample

    return make_downsample(stage.inputs)


DOWNSAMPLE = Kind("downsample", _down_cost, _down_held, _down, one_product)


def _up_cost(stage: Stage) -> Cost:
    return conv(stage.inputs, stage.outputs, 3, 2 * stage.size)


def _up_held(stage: Stage) -> int:
    """Interpolated, then convolved: 4 times the pixels each."""
    return 4 * (stage.inputs + stage.outputs) * stage.pixels


def _up(stage: Stage) -> nn.Module:
    from space.blocks import Upsample

    return Upsample(stage.inputs)


UPSAMPLE = Kind("upsample", _up_cost, _up_held, _up, one_product)

# ---------------------------------------------------------------------- what blocks have in common


def _shortcut(stage: Stage) -> Cost:
    """A 1x1 convolution where the width changes."""
    changes = stage.inputs != stage.outputs
    return conv(stage.inputs, stage.outputs, 1, stage.size) if changes else NOTHING


def _time(stage: Stage) -> Cost:
    """A projection of the time embedding; an autoencoder has none."""
    width = stage.options.time_width
    return linear(width, stage.outputs, 1) if width else NOTHING


def _time_added(stage: Stage) -> int:
    """The map, and: the embedding's swish with its projection, or the projection with the sum."""
    if not stage.options.time_width:
        return 0
    outputs = stage.outputs * stage.pixels
    return outputs + stage.outputs + max(stage.options.time_width, outputs)

"""The kinds that only an autoencoder has: TAESD's block, attention over a map, and what stands at its ends.

`held` counts what the operators of `space/image_blocks.py` hand back for as long as the block holds it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from space.kinds.convolution import CONV_IN
from space.kinds.rules import NOTHING, Cost, conv, linear, norm
from space.kinds.stage import Axis, Kind, Stage, WeightAxes, one_product

if TYPE_CHECKING:
    from torch import nn

# ---------------------------------------------------------------------- TAESD's block, without any norm


def _plain_cost(stage: Stage) -> Cost:
    """Three 3x3 convolutions, and a 1x1 shortcut where the width changes."""
    inputs, outputs, size = stage.inputs, stage.outputs, stage.size
    later = conv(outputs, outputs, 3, size)
    shortcut = NOTHING if inputs == outputs else conv(inputs, outputs, 1, size)
    return conv(inputs, outputs, 3, size) + later + later + shortcut


def _plain_held(stage: Stage) -> int:
    """The block's map, its sum with the shortcut, and the relu of that."""
    return 3 * stage.outputs * stage.pixels


def _plain_block(stage: Stage) -> nn.Module:
    from space.image_blocks import PlainBlock

    return PlainBlock(stage.inputs, stage.outputs)


def _plain_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    out = Axis((stage.outputs,))
    return {"conv1": (out, inputs), "conv2": (out, out), "conv3": (out, out), "shortcut": (out, inputs)}


PLAIN = Kind("plain conv block", _plain_cost, _plain_held, _plain_block, _plain_axes)

# ---------------------------------------------------------------------- attention over a map


class MapOptions(NamedTuple):
    norm_groups: int


def _attention_cost(stage: Stage) -> Cost:
    """Norm; query, key, value and output with a bias each; one head, so both products are pixels^2 wide."""
    channels, pixels = stage.inputs, stage.pixels
    one = linear(channels, channels, pixels)
    products = 2 * pixels * pixels * channels
    return norm(channels) + one + one + one + one + Cost(0, products, products)


def _attention_held(stage: Stage) -> int:
    """The normed map, query, key and value, and what a fused kernel makes of them."""
    return 5 * stage.inputs * stage.pixels


def _attention(stage: Stage) -> nn.Module:
    from space.image_blocks import MapAttention

    return MapAttention(stage.inputs, stage.options.norm_groups)


def _attention_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    return {"norm": (inputs,), **dict.fromkeys(("query", "key", "value", "out"), (inputs, inputs))}


ATTENTION = Kind("attention", _attention_cost, _attention_held, _attention, _attention_axes, MapOptions)

# ---------------------------------------------------------------------- halving


def _down_cost(stage: Stage) -> Cost:
    return conv(stage.inputs, stage.outputs, 3, stage.size // 2)


def _down_held(stage: Stage) -> int:
    """The map, a row and a column larger, and the convolution of it."""
    return stage.inputs * (stage.size + 1) ** 2 + stage.outputs * stage.pixels // 4


def _down(stage: Stage) -> nn.Module:
    from space.image_blocks import PaddedDownsample

    return PaddedDownsample(stage.inputs)


PADDED_DOWNSAMPLE = Kind("downsample", _down_cost, _down_held, _down, one_product)

# ---------------------------------------------------------------------- at both ends


IMAGE_IN = CONV_IN
IMAGE_OUT = replace(CONV_IN, label="conv out")


def _latent_cost(stage: Stage) -> Cost:
    return conv(stage.inputs, stage.outputs, 1, stage.size)


def _latent_conv(stage: Stage) -> nn.Module:
    from torch import nn

    return nn.Conv2d(stage.inputs, stage.outputs, 1)


LATENT_CONV = Kind("latent conv", _latent_cost, CONV_IN.held, _latent_conv, one_product)


def _normed_cost(stage: Stage) -> Cost:
    return norm(stage.inputs) + conv(stage.inputs, stage.outputs, 3, stage.size)


def _normed_held(stage: Stage) -> int:
    """The normed map and its swish; the swish and the convolution of it."""
    inputs = stage.inputs * stage.pixels
    return max(2 * inputs, inputs + stage.outputs * stage.pixels)


def _normed(stage: Stage) -> nn.Module:
    from space.image_blocks import NormedConv

    return NormedConv(stage.inputs, stage.outputs, stage.options.norm_groups)


def _normed_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    return {"norm": (inputs,), "conv": (Axis((stage.outputs,)), inputs)}


NORMED_OUT = Kind("conv out", _normed_cost, _normed_held, _normed, _normed_axes, MapOptions)

"""The kinds that work on tokens or on one vector: transformer layers, projections around them, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from space.kinds.rules import NOTHING, Cost, embedding, linear, norm
from space.kinds.stage import (
    Activation,
    AttentionKind,
    Axis,
    Kind,
    Projection,
    Stage,
    WeightAxes,
    one_product,
)
from space.shared.plain import entry_of

if TYPE_CHECKING:
    from torch import nn

# ---------------------------------------------------------------------- a transformer layer


class LayerOptions(NamedTuple):
    """Inactive parameters (a context without cross-attention, say) stand at their least."""

    self_attention: bool
    cross_attention: bool
    feed_forward_ratio: int
    activation: Activation
    attention: AttentionKind = "softmax"
    heads: int = 1
    shared_key_value: bool = False
    context_width: int = 0
    context_length: int = 0


def attention(channels: int, tokens: int, source: int, source_tokens: int, *, shared_key_value: bool) -> Cost:
    """Q from `tokens`, K and V (one projection if shared) from the source; no bias but in the output.

    The products QK^T and AV are tokens x source_tokens x channels each, whatever the number of heads.
    """
    key_value = linear(source, channels, source_tokens, bias=False)
    cost = linear(channels, channels, tokens, bias=False) + key_value + linear(channels, channels, tokens)
    products = 2 * tokens * source_tokens * channels
    return cost + (NOTHING if shared_key_value else key_value) + Cost(0, products, products)


def feed_forward(channels: int, tokens: int, ratio: int) -> Cost:
    """Gated: channels -> 2 * ratio * channels, ratio * channels -> channels."""
    return linear(channels, 2 * ratio * channels, tokens) + linear(ratio * channels, channels, tokens)


def _layer_cost(stage: Stage) -> Cost:
    """Self-attention, cross-attention, feed-forward, each behind a layer norm."""
    channels, tokens, options = stage.inputs, stage.pixels, stage.options
    cost = norm(channels) + feed_forward(channels, tokens, options.feed_forward_ratio)
    if options.self_attention:
        shared = options.shared_key_value
        cost += norm(channels) + attention(channels, tokens, channels, tokens, shared_key_value=shared)
    if options.cross_attention:
        width, length = options.context_width, options.context_length
        cost += norm(channels) + attention(channels, tokens, width, length, shared_key_value=False)
    return cost


def _layer_held(stage: Stage, several: bool = False) -> int:
    """Its first sum is held to the end of the layer."""
    options, tokens = stage.options, stage.inputs * stage.pixels
    peaks, held = [], 0
    if options.self_attention:
        keys = 1 if options.shared_key_value else 2
        peaks.append(_attention_held(stage, stage.pixels, keys, several))
        held = tokens
    if options.cross_attention:
        peaks.append(held + _attention_held(stage, options.context_length, 2, several))
        held = tokens
    gated = tokens + 4 * options.feed_forward_ratio * tokens  # normed, both halves, the gate's, the product
    return max([*peaks, held + gated])


def _attention_held(stage: Stage, length: int, keys: int, several: bool) -> int:
    """Normed input, query, keys and values; then what the kind of attention holds beside them."""
    base = 2 * stage.inputs * stage.pixels + keys * stage.inputs * length
    return base + entry_of(ATTENTION_MEMORY, stage.options.attention, "attention")(stage, length, several)


def _softmax_held(stage: Stage, length: int, several: bool) -> int:
    """The heads' output and its projection: a fused kernel holds no matrix of scores."""
    return 2 * stage.inputs * stage.pixels


def _relu_held(stage: Stage, length: int, several: bool) -> int:
    """The most of four moments: scaled queries and scores; scores before and after the relu; scores and the
    heads' output; that, the heads side by side, and their projection.

    A batched product copies heads whose strides do not fold into those of the batch: not with one image, one
    head or one token. Side by side, heads are copied but where that moves nothing: one head, one token, or
    heads one channel wide.
    """
    tokens, heads = stage.inputs * stage.pixels, stage.options.heads
    scores = heads * stage.pixels * length
    copied = several and heads > 1
    query = tokens if copied and stage.pixels > 1 else 0
    keys = stage.inputs * length if copied and length > 1 else 0  # later the values
    joined = tokens if 1 < heads < stage.inputs and stage.pixels > 1 else 0
    return max(tokens + query + keys + scores, 2 * scores, scores + keys + tokens, 2 * tokens + joined)


ATTENTION_MEMORY: Mapping[str, Callable[[Stage, int, bool], int]] = {
    "softmax": _softmax_held,
    "relu": _relu_held,
}


def _layer(stage: Stage) -> nn.Module:
    from space.blocks import TransformerLayer

    options = stage.options
    return TransformerLayer(
        stage.inputs,
        options.heads,
        options.context_width,
        self_attention=options.self_attention,
        cross_attention=options.cross_attention,
        shared_key_value=options.shared_key_value,
        kind=options.attention,
        ratio=options.feed_forward_ratio,
        activation=options.activation,
    )


def _layer_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    options = stage.options
    wide = options.feed_forward_ratio * stage.inputs
    heads = Axis((stage.inputs // options.heads,) * options.heads)
    of_attention = {"query": (heads, inputs), "out": (inputs, heads)}
    of_source = {"self": inputs, "cross": Axis((options.context_width,))}
    attentions = {
        f"{name}_attention.{module}": axes
        for name, source in of_source.items()
        for module, axes in (of_attention | {"key": (heads, source), "value": (heads, source)}).items()
    }
    return attentions | {
        "self_norm": (inputs,),
        "cross_norm": (inputs,),
        "feed_norm": (inputs,),
        "feed_forward.expand": (Axis((wide, wide)), inputs),
        "feed_forward.reduce": (inputs, Axis((wide,))),
    }


LAYER = Kind(
    "transformer",
    _layer_cost,
    _layer_held,
    _layer,
    _layer_axes,
    LayerOptions,
    partial(_layer_held, several=True),
)

# ---------------------------------------------------------------------- around a stack of layers


class ProjectionOptions(NamedTuple):
    stack_projection: Projection
    norm_groups: int


def _project_in_cost(stage: Stage) -> Cost:
    """Group norm and a 1x1 convolution, or a linear layer, which is the same."""
    return norm(stage.inputs) + linear(stage.inputs, stage.outputs, stage.pixels)


def _project_out_cost(stage: Stage) -> Cost:
    return linear(stage.inputs, stage.outputs, stage.pixels)


def _project_in_held(stage: Stage) -> int:
    """The normed map and its projection."""
    return (stage.inputs + stage.outputs) * stage.pixels


def _project_out_held(stage: Stage) -> int:
    """The projection; then its sum with the stack's input, the stage's own input gone."""
    return stage.outputs * stage.pixels


def _projection(stage: Stage) -> nn.Module:
    from space.blocks import make_projection

    return make_projection(stage.options.stack_projection, stage.inputs)


PROJECT_IN = Kind(
    "projections", _project_in_cost, _project_in_held, _projection, one_product, ProjectionOptions
)
PROJECT_OUT = Kind(
    "projections", _project_out_cost, _project_out_held, _projection, one_product, ProjectionOptions
)

# ---------------------------------------------------------------------- one vector an image


def _embedding_cost(stage: Stage) -> Cost:
    return embedding(stage.inputs, stage.outputs)


def _embedding_held(stage: Stage) -> int:
    return stage.outputs


def _embedding(stage: Stage) -> nn.Module:
    from space.blocks import Embedding

    return Embedding(stage.inputs, stage.outputs)


def _embedding_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    width = Axis((stage.outputs,))
    return {"0": (width, inputs), "2": (width, width)}


def _halves(length: int) -> Axis:
    """Cosines, then sines."""
    return Axis((length // 2, length // 2))


def _time_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    return _embedding_axes(stage, _halves(stage.inputs))


TIME = Kind("time embedding", _embedding_cost, _embedding_held, _embedding, _time_axes)
ADDED = Kind("added conditions", _embedding_cost, _embedding_held, _embedding, _embedding_axes)


def _guidance_cost(stage: Stage) -> Cost:
    """A linear layer without bias, whose result joins the sines and cosines of the time."""
    return linear(stage.inputs, stage.outputs, 1, bias=False)


def _guidance(stage: Stage) -> nn.Module:
    from torch import nn

    return nn.Linear(stage.inputs, stage.outputs, bias=False)


def _guidance_axes(stage: Stage, inputs: Axis) -> WeightAxes:
    return {"": (_halves(stage.outputs), inputs)}


GUIDANCE = Kind("guidance embedding", _guidance_cost, _embedding_held, _guidance, _guidance_axes)

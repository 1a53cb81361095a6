"""What an architecture costs, in closed form: parameters and multiply-accumulates, to the last integer.

MACs are for one image, one network evaluation. Norms, biases, activations and softmax count none, as in
the paper (and PyTorch's counter); the attention products QK^T and AV count, and are shown apart.
Every rule states the block it prices; `tests/space/test_cost.py` works each of them out by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from space.architecture import Architecture, Level, Middle


class Cost(NamedTuple):
    """Parameters, MACs (attention products included) and, of those, the MACs of attention products."""

    parameters: int
    macs: int
    attention_macs: int = 0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        return Cost(self[0] + other[0], self[1] + other[1], self[2] + other[2])

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def gmacs(self) -> float:
        return self.macs / 1e9

    @property
    def macs_without_attention_products(self) -> int:
        return self.macs - self.attention_macs


NOTHING = Cost(0, 0, 0)


@dataclass(frozen=True)
class Item:
    """One line of a breakdown: where in the network, what kind of block, what it costs."""

    where: str
    kind: str
    cost: Cost


# ---------------------------------------------------------------------- rules, a block each


def linear(inputs: int, outputs: int, tokens: int, *, bias: bool = True) -> Cost:
    """`outputs x inputs` weights, used once a token."""
    weights = inputs * outputs
    return Cost(weights + (outputs if bias else 0), tokens * weights)


def conv(inputs: int, outputs: int, kernel: int, size: int, *, groups: int = 1) -> Cost:
    """kernel^2 * inputs/groups * outputs weights, used once an output pixel (`size` x `size` of them)."""
    weights = kernel * kernel * (inputs // groups) * outputs
    return Cost(weights + outputs, size * size * weights)


def norm(channels: int) -> Cost:
    """Group or layer norm: a scale and a shift a channel."""
    return Cost(2 * channels, 0)


def embedding(inputs: int, width: int) -> Cost:
    """Two linear layers on one vector an image."""
    return linear(inputs, width, 1) + linear(width, width, 1)


@lru_cache(maxsize=65536)
def full_block(inputs: int, outputs: int, time_width: int, size: int) -> Cost:
    """norm, 3x3, time projection, norm, 3x3, and a 1x1 shortcut where the width changes."""
    cost = norm(inputs) + conv(inputs, outputs, 3, size) + linear(time_width, outputs, 1)
    cost += norm(outputs) + conv(outputs, outputs, 3, size)
    return cost + (conv(inputs, outputs, 1, size) if inputs != outputs else NOTHING)


@lru_cache(maxsize=65536)
def separable_block(inputs: int, outputs: int, time_width: int, size: int, expansion: int) -> Cost:
    """depthwise 3x3, norm, 1x1 to expansion * outputs, 1x1 back, time projection, shortcut."""
    hidden = expansion * outputs
    cost = conv(inputs, inputs, 3, size, groups=inputs) + norm(inputs)
    cost += conv(inputs, hidden, 1, size) + conv(hidden, outputs, 1, size) + linear(time_width, outputs, 1)
    return cost + (conv(inputs, outputs, 1, size) if inputs != outputs else NOTHING)


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


@lru_cache(maxsize=65536)
def transformer_layer(
    channels: int,
    tokens: int,
    context_width: int,
    context_length: int,
    self_attention: bool,
    cross_attention: bool,
    shared_key_value: bool,
    ratio: int,
) -> Cost:
    """Self-attention, cross-attention, feed-forward, each behind a layer norm."""
    cost = norm(channels) + feed_forward(channels, tokens, ratio)
    if self_attention:
        cost += norm(channels) + attention(
            channels, tokens, channels, tokens, shared_key_value=shared_key_value
        )
    if cross_attention:
        cost += norm(channels) + attention(
            channels, tokens, context_width, context_length, shared_key_value=False
        )
    return cost


@lru_cache(maxsize=65536)
def projections(channels: int, tokens: int) -> Cost:
    """Around a stack, where there are any: group norm, in, out (1x1 convolution or linear, the same)."""
    return norm(channels) + linear(channels, channels, tokens) + linear(channels, channels, tokens)


# ---------------------------------------------------------------------- the walk over an architecture


def breakdown(a: Architecture) -> list[Item]:
    """What each part costs, in the order of the forward pass."""
    outer = a.levels[0].channels
    items = [Item("embeddings", "time embedding", embedding(outer, a.time_width))]
    if a.added_width:
        items.append(Item("embeddings", "added conditions", embedding(a.added_width, a.time_width)))
    items.append(Item("in", "conv in", conv(a.latent_channels, outer, 3, a.latent_size)))

    channels, skips = outer, [outer]
    for index, level in enumerate(a.levels):
        where, size = f"down-{index + 1}", a.size_at(index)
        for layers in level.down:
            items += _stage(a, level, where, channels, level.channels, size, layers)
            channels = level.channels
            skips.append(channels)
        if index + 1 < len(a.levels):
            items.append(Item(where, "downsample", conv(channels, channels, 3, size // 2)))
            skips.append(channels)
    if a.middle is not None:
        size = a.size_at(len(a.levels) - 1)
        for layers in a.middle.blocks:
            items += _stage(a, a.middle, "middle", channels, channels, size, layers)
    for index in range(len(a.levels) - 1, -1, -1):
        level, where, size = a.levels[index], f"up-{index + 1}", a.size_at(index)
        for layers in level.up:
            items += _stage(a, level, where, channels + skips.pop(), level.channels, size, layers)
            channels = level.channels
        if index > 0:
            items.append(Item(where, "upsample", conv(channels, channels, 3, size * 2)))
    out = norm(outer) + conv(outer, a.latent_channels, 3, a.latent_size)
    items.append(Item("out", "conv out", out))
    return items


def _stage(
    a: Architecture, stack: Level | Middle, where: str, inputs: int, outputs: int, size: int, layers: int
) -> list[Item]:
    if stack.conv == "full":
        block = full_block(inputs, outputs, a.time_width, size)
    else:
        block = separable_block(inputs, outputs, a.time_width, size, a.separable_expansion)
    items = [Item(where, f"{stack.conv} conv block", block)]
    if not layers:
        return items
    tokens = size * size
    layer = transformer_layer(
        outputs,
        tokens,
        a.context_width,
        a.context_length,
        stack.self_attention,
        stack.cross_attention,
        a.shared_key_value,
        a.feed_forward_ratio,
    )
    items.append(Item(where, "transformer", Cost(*(layers * part for part in layer))))
    if a.stack_projection != "none":
        items.append(Item(where, "projections", projections(outputs, tokens)))
    return items


def price(a: Architecture) -> Cost:
    """The whole network, for one image."""
    parameters = macs = attention_macs = 0
    for item in breakdown(a):
        parameters += item.cost.parameters
        macs += item.cost.macs
        attention_macs += item.cost.attention_macs
    return Cost(parameters, macs, attention_macs)

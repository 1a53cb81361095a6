"""What a network needs to hold, in closed form: bytes of weights, and the peak of its activations.

The convention: inference without gradients, one forward pass of `UNet`, operator by operator as PyTorch
runs it without compiling. Counted are the tensors that operators hand back, from the first convolution on,
for as long as the module holds them: skips, the inputs of blocks, and what lives inside a block at its
widest point. Not counted are the inputs, the weights, what an operator allocates inside itself, and
the statistics of norms. Softmax attention holds no matrix of scores (a fused kernel), relu attention
does. `tests/space/test_memory.py` holds every rule against the measured life of real tensors.
"""

from __future__ import annotations

from space.architecture import Architecture, Level, Middle
from space.prices.macs import Cost
from space.shared.plain import InputError, nearest

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


def weight_bytes(cost: Cost, precision: str = "fp32") -> int:
    """Bytes of the parameters; int8 leaves out its scales. Raises InputError for an unknown precision."""
    return cost.parameters * _bytes(precision)


def peak_activation_bytes(a: Architecture, precision: str = "fp32", batch: int = 1) -> int:
    """The most bytes of activations alive at once while `batch` images pass through the network.

    Raises:
        InputError: an unknown precision, or a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch: {batch} is not possible; allowed: 1 or more")
    return batch * _peak_elements(a) * _bytes(precision)


def _bytes(precision: str) -> int:
    if precision not in BYTES:
        raise InputError(f"precision: {precision!r} is not a choice here; {nearest(precision, BYTES)}")
    return BYTES[precision]


# ---------------------------------------------------------------------- the walk, elements of one image


def _peak_elements(a: Architecture) -> int:
    """Live at any time: the time embedding, the skips not yet taken, and the current feature map."""
    outer = a.levels[0].channels * a.latent_size**2
    current, skips, peaks = outer, [outer], [outer]
    channels = a.levels[0].channels
    for index, level in enumerate(a.levels):
        pixels = a.size_at(index) ** 2
        for layers in level.down:
            peaks.append(sum(skips) + _stage(a, level, channels, level.channels, pixels, layers))
            channels, current = level.channels, level.channels * pixels
            skips.append(current)
        if index + 1 < len(a.levels):
            current = channels * pixels // 4
            skips.append(current)
            peaks.append(sum(skips))
    if a.middle is not None:
        pixels = a.size_at(len(a.levels) - 1) ** 2
        for number, layers in enumerate(a.middle.blocks):
            held = sum(skips) + (current if number else 0)  # the first one's input is the last skip
            peaks.append(held + _stage(a, a.middle, channels, channels, pixels, layers))
    own = a.middle is not None  # is the current map a tensor of its own, or the last skip?
    for index in range(len(a.levels) - 1, -1, -1):
        level, pixels = a.levels[index], a.size_at(index) ** 2
        entry = current  # the level's input is held until the level is done
        for number, layers in enumerate(level.up):
            earlier = entry if number else 0
            skip = skips.pop()
            joined = current + skip
            peaks.append(earlier + sum(skips) + skip + (current if own else 0) + joined)
            held = earlier + sum(skips) + current + joined
            peaks.append(held + _stage(a, level, joined // pixels, level.channels, pixels, layers))
            current, own = level.channels * pixels, True
        if index > 0:
            peaks.append(entry + sum(skips) + 9 * current)  # interpolated, then convolved: 4 times each
            current *= 4
    peaks.append(current + 2 * outer)
    peaks.append(current + outer + a.latent_channels * a.latent_size**2)
    return a.time_width + max(peaks)


def _stage(
    a: Architecture, stack: Level | Middle, inputs: int, outputs: int, pixels: int, layers: int
) -> int:
    """The most that lives beside a stage's input: in its conv block, or its output and a stack over it."""
    shortcut = inputs != outputs
    if stack.conv == "full":
        block = _full_block(inputs * pixels, outputs * pixels, outputs, a.time_width)
    else:
        hidden = a.separable_expansion * outputs * pixels
        block = _separable_block(inputs * pixels, hidden, outputs * pixels, outputs, a.time_width, shortcut)
    if not layers:
        return block
    return max(block, outputs * pixels + _stack(a, stack, outputs, pixels, layers))


def _full_block(inputs: int, outputs: int, width: int, time: int) -> int:
    """Two maps around the first swish; the block's map, its swish and the convolution of it; time added."""
    return max(2 * inputs, inputs + outputs, 3 * outputs, _time_added(outputs, width, time))


def _separable_block(inputs: int, hidden: int, outputs: int, width: int, time: int, shortcut: bool) -> int:
    """Two maps around the norm; the expansion, before and after its swish; time added; the sum."""
    added = _time_added(outputs, width, time)
    summed = (3 if shortcut else 2) * outputs
    return max(2 * inputs, inputs + hidden, 2 * hidden, hidden + outputs, added, summed)


def _time_added(outputs: int, width: int, time: int) -> int:
    """The map, and: the embedding's swish with its projection, or the projection with the sum."""
    return outputs + width + max(time, outputs)


def _stack(a: Architecture, stack: Level | Middle, channels: int, pixels: int, layers: int) -> int:
    """The most that lives beside a stack's input."""
    tokens = channels * pixels
    layer = _layer(a, stack, channels, pixels)
    if a.stack_projection != "none":
        return max(3 * tokens, 2 * tokens + layer)  # the normed map, and each layer's own input
    return layer + (tokens if layers > 1 else 0)  # from the second layer on, its input is another tensor


def _layer(a: Architecture, stack: Level | Middle, channels: int, pixels: int) -> int:
    """The most that lives beside a transformer layer's input; its first sum is held to the end."""
    tokens, peaks, held = channels * pixels, [], 0
    if stack.self_attention:
        keys = 1 if a.shared_key_value else 2
        peaks.append(_attention(a, channels, pixels, pixels, keys))
        held = tokens
    if stack.cross_attention:
        peaks.append(held + _attention(a, channels, pixels, a.context_length, 2))
        held = tokens
    gated = tokens + 4 * a.feed_forward_ratio * tokens  # normed, both halves, the gate's swish, the product
    return max([*peaks, held + gated])


def _attention(a: Architecture, channels: int, pixels: int, length: int, keys: int) -> int:
    """Normed input, query, keys and values; then the heads' output and its projection."""
    tokens = channels * pixels
    base = 2 * tokens + keys * channels * length
    if a.attention == "softmax":
        return base + 2 * tokens
    scores = a.head_count(channels) * pixels * length
    joined = 3 * tokens if a.head_count(channels) > 1 else 2 * tokens  # heads are copied beside each other
    return base + scores + max(tokens, scores, joined)

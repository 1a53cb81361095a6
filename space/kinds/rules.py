"""What a layer costs, in closed form: parameters and multiply-accumulates, to the last integer.

MACs are for one image, one network evaluation. Norms, biases, activations and softmax count none, as in
the paper (and PyTorch's counter); the attention products QK^T and AV count, and are shown apart.
"""

from __future__ import annotations

from typing import NamedTuple


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

"""The blocks of the UNet: residual and separable convolution, transformer layers and stacks.

Shapes: B batch, C channels, H x W feature map, N = H * W tokens, L text tokens, E time embedding.
Blocks take plain numbers and know no `Architecture`; parameter names follow what they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from space.kinds.stage import Activation, AttentionKind, Projection
from space.shared.plain import entry_of

CONV_EPS, IMAGE_EPS = 1e-5, 1e-6  # of SD's residual blocks: in its UNet; in its autoencoder, without a time
STACK_EPS = 1e-6  # group norm in front of SD's transformer stacks


def sinusoids(position: Tensor, width: int) -> Tensor:
    """(B,) positions to (B, width): cosines, then sines, of width / 2 frequencies from 1 down to 1/10000."""
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=position.device) / half
    angle = position.float()[:, None] * torch.exp(-math.log(10_000.0) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class Embedding(nn.Sequential):
    """Two linear layers with a swish between: time (or SDXL's added conditions) to (B, E)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))


class FullBlock(nn.Module):
    """SD's residual block: two 3x3 convolutions, the time embedding, if there is one, added between.
    (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, time_width: int, groups: int) -> None:
        super().__init__()
        eps = CONV_EPS if time_width else IMAGE_EPS
        self.norm1 = nn.GroupNorm(groups, inputs, eps=eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time_width, outputs) if time_width else None
        self.norm2 = nn.GroupNorm(groups, outputs, eps=eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Any = None) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h if self.time is None else h + self.time(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return self.shortcut(x) + h


class SeparableBlock(nn.Module):
    """ConvNeXt's order (section 3.3, figure 2; the paper chose a 3x3 kernel over 7x7 and 9x9): depthwise,
    norm, pointwise up, swish, pointwise down. Time is added at the output width. (B, inputs, H, W) ->
    (B, outputs, H, W)."""

    def __init__(
        self, inputs: int, outputs: int, time_width: int, groups: int, expansion: int, kernel: int = 3
    ) -> None:
        super().__init__()
        eps = CONV_EPS if time_width else IMAGE_EPS
        self.depthwise = nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs)
        self.norm = nn.GroupNorm(groups, inputs, eps=eps)
        self.expand = nn.Conv2d(inputs, expansion * outputs, 1)
        self.reduce = nn.Conv2d(expansion * outputs, outputs, 1)
        self.time = nn.Linear(time_width, outputs) if time_width else None
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Any = None) -> Tensor:
        h = self.reduce(F.silu(self.expand(self.norm(self.depthwise(x)))))
        h = h if self.time is None else h + self.time(F.silu(time))[:, :, None, None]
        return self.shortcut(x) + h


def _softmax_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value)


def _relu_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """relu(QK^T / sqrt(d)) / L in place of the softmax; the division by the length follows Wortsman et al.,
    the paper's reference for it. Queries are divided, which comes to the same: maps are far larger."""
    scale = query.shape[-1] ** -0.5 / key.shape[-2]
    return F.relu((query * scale) @ key.transpose(-2, -1)) @ value


ATTENTIONS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "softmax": _softmax_attention,
    "relu": _relu_attention,
}


class Attention(nn.Module):
    """Multi-head attention of (B, N, C) over (B, L, S), S = `source`; over itself where source is None.

    `shared_key_value` sets W_K = W_V (section 3.2).

    Attributes:
        processor: computes in this module's place, if set: (module, x, source) to what `forward` gives.
        fused: the weights that apply to one input as one matrix, if they are fused; never saved.
    """

    fused: Tensor | None

    def __init__(
        self, channels: int, heads: int, source: int | None, shared_key_value: bool, kind: AttentionKind
    ) -> None:
        super().__init__()
        entry_of(ATTENTIONS, kind, "attention")
        self.heads, self.kind, self.over_itself = heads, kind, source is None
        self.processor: Callable[[Attention, Tensor, Tensor | None], Tensor] | None = None
        self.register_buffer("fused", None, persistent=False)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(source or channels, channels, bias=False)
        self.value = None if shared_key_value else nn.Linear(source or channels, channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        if self.processor is not None:
            return self.processor(self, x, source)
        query, key, value = self._projected(x, x if source is None else source)
        h = ATTENTIONS[self.kind](query, key, value)
        return self.out(h.transpose(1, 2).flatten(2))

    def _projected(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.fused is None:
            query, key = self._split(self.query(x)), self._split(self.key(source))
            return query, key, key if self.value is None else self._split(self.value(source))
        parts = [self._split(part) for part in F.linear(source, self.fused).split(x.shape[-1], dim=-1)]
        query = parts.pop(0) if self.over_itself else self._split(self.query(x))
        return query, parts[0], parts[-1]

    def fuse(self) -> None:
        """One product for all projections of one input; equal but for rounding. Later changes of the weights
        need another call."""
        apart = [self.query if self.over_itself else None, self.key, self.value]
        self.fused = torch.cat([part.weight.detach() for part in apart if part is not None])

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, kind={self.kind}, shared_key_value={self.value is None}"


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"swish": F.silu, "gelu": F.gelu}


class GatedFeedForward(nn.Module):
    """Gated linear unit of ratio r: C -> 2 * r * C, half gates half, r * C -> C (section 3.2)."""

    def __init__(self, channels: int, ratio: int, activation: Activation) -> None:
        super().__init__()
        entry_of(ACTIVATIONS, activation, "activation")
        self.activation = activation
        self.expand = nn.Linear(channels, 2 * ratio * channels)
        self.reduce = nn.Linear(ratio * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.expand(x).chunk(2, dim=-1)
        return self.reduce(value * ACTIVATIONS[self.activation](gate))

    def extra_repr(self) -> str:
        return f"activation={self.activation}"


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention (each optional) and feed-forward, each normed before and added.

    Sums begin with the new term: they take its layout, token by token, while the x of a stack without
    projections, or behind a convolution, may be a feature map seen channel by channel. With x first, every
    later norm and sum of the stack would copy across that layout.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        context_width: int,
        *,
        self_attention: bool,
        cross_attention: bool,
        shared_key_value: bool,
        kind: AttentionKind,
        ratio: int,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.self_norm = self.self_attention = self.cross_norm = self.cross_attention = None
        if self_attention:
            self.self_norm = nn.LayerNorm(channels)
            self.self_attention = Attention(channels, heads, None, shared_key_value, kind)
        if cross_attention:
            self.cross_norm = nn.LayerNorm(channels)
            self.cross_attention = Attention(channels, heads, context_width, False, kind)
        self.feed_norm = nn.LayerNorm(channels)
        self.feed_forward = GatedFeedForward(channels, ratio, activation)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        if self.self_attention is not None and self.self_norm is not None:
            x = self.self_attention(self.self_norm(x)) + x
        if self.cross_attention is not None and self.cross_norm is not None:
            x = self.cross_attention(self.cross_norm(x), context) + x
        return self.feed_forward(self.feed_norm(x)) + x


def make_projection(kind: Projection, channels: int) -> nn.Module:
    """One side of the projections around a stack. Raises InputError for a kind that projects nothing."""
    return entry_of(PROJECTIONS, kind, "stack_projection")(channels)


PROJECTIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "conv": lambda channels: nn.Conv2d(channels, channels, 1),
    "linear": lambda channels: nn.Linear(channels, channels),
}


class TransformerStack(nn.Module):
    """Layers over the tokens of a feature map, (B, C, H, W) in and out.

    With projections (SD: 1x1 convolutions of the map, SDXL: linear layers on its tokens) the stack is normed,
    projected in and out, and added to its input; without (MD) the layers stand on the map itself.
    """

    def __init__(
        self,
        layers: list[nn.Module],
        norm: nn.Module | None = None,
        project_in: nn.Module | None = None,
        project_out: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm, self.project_in, self.project_out = norm, project_in, project_out
        self.on_map = isinstance(project_in, nn.Conv2d)  # asked here: an adapter may wrap the projection
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        if self.norm is None or self.project_in is None or self.project_out is None:
            return _as_map(self._run(_as_tokens(x), context), x)
        h = self.norm(x)
        if self.on_map:
            h = self.project_out(_as_map(self._run(_as_tokens(self.project_in(h)), context), x))
        else:
            h = _as_map(self.project_out(self._run(self.project_in(_as_tokens(h)), context)), x)
        return x + h

    def _run(self, tokens: Tensor, context: Tensor) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens, context)
        return tokens


def make_downsample(channels: int) -> nn.Conv2d:
    """Stride-2 3x3 convolution: (B, C, H, W) -> (B, C, H / 2, W / 2). No class of its own: adapters make
    another layer of a layer's class."""
    return nn.Conv2d(channels, channels, 3, stride=2, padding=1)


class Upsample(nn.Module):
    """Nearest neighbour, then a 3x3 convolution at the incoming width: (B, C, H, W) -> (B, C, 2H, 2W), or
    one less in H or W where the map that was halved had an odd side (`size`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if size is None or size == (2 * x.shape[-2], 2 * x.shape[-1]):
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


def zero_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """The last 3x3 convolution, which starts at zero."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _as_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, N, C)."""
    return x.flatten(2).transpose(1, 2)


def _as_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, H, W), H x W as in `like`."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])

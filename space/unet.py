"""An `Architecture` as a module. The loops read like the paper's Table 6: levels down, middle, levels up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture, Level, Middle
from space.blocks import (
    CONV_EPS,
    Downsample,
    Embedding,
    FullBlock,
    SeparableBlock,
    TransformerLayer,
    TransformerStack,
    Upsample,
    sinusoids,
)


class Stage(nn.Module):
    """A conv block and the transformer layers that follow it, if any."""

    def __init__(self, conv: nn.Module, stack: TransformerStack | None) -> None:
        super().__init__()
        self.conv, self.stack = conv, stack

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.conv(x, time)
        return x if self.stack is None else self.stack(x, context)


class WayDown(nn.Module):
    """One level down: each stage leaves a skip connection, and so does the downsampling after them."""

    def __init__(self, stages: list[Stage], downsample: Downsample | None) -> None:
        super().__init__()
        self.stages, self.downsample = nn.ModuleList(stages), downsample

    def forward(self, x: Tensor, time: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for stage in self.stages:
            x = stage(x, time, context)
            skips.append(x)
        if self.downsample is not None:
            x = self.downsample(x)
            skips.append(x)
        return x


class WayUp(nn.Module):
    """One level up: each stage takes the last skip connection left, concatenated."""

    def __init__(self, stages: list[Stage], upsample: Upsample | None) -> None:
        super().__init__()
        self.stages, self.upsample = nn.ModuleList(stages), upsample

    def forward(self, x: Tensor, time: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for stage in self.stages:
            x = stage(torch.cat([x, skips.pop()], dim=1), time, context)
        return x if self.upsample is None else self.upsample(x)


class UNet(nn.Module):
    """The network that an `Architecture` describes.

    The output convolution starts at zero, so an untrained network predicts zero whatever it is built of.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        outer = a.levels[0].channels
        self.time = Embedding(outer, a.time_width)
        self.added = Embedding(a.added_width, a.time_width) if a.added_width else None
        self.conv_in = nn.Conv2d(a.latent_channels, outer, 3, padding=1)

        channels, skips = outer, [outer]
        down: list[WayDown] = []
        for index, level in enumerate(a.levels):
            stages = []
            for layers in level.down:
                stages.append(_stage(a, level, channels, level.channels, layers))
                channels = level.channels
                skips.append(channels)
            innermost = index + 1 == len(a.levels)
            down.append(WayDown(stages, None if innermost else Downsample(channels)))
            if not innermost:
                skips.append(channels)
        self.down = nn.ModuleList(down)

        blocks = a.middle.blocks if a.middle else ()
        self.middle = nn.ModuleList(_stage(a, a.middle, channels, channels, n) for n in blocks if a.middle)

        up: list[WayUp] = []
        for index, level in reversed(list(enumerate(a.levels))):
            stages = []
            for layers in level.up:
                stages.append(_stage(a, level, channels + skips.pop(), level.channels, layers))
                channels = level.channels
            up.append(WayUp(stages, Upsample(channels) if index > 0 else None))
        self.up = nn.ModuleList(up)

        self.norm_out = nn.GroupNorm(a.norm_groups, outer, eps=CONV_EPS)
        self.conv_out = nn.Conv2d(outer, a.latent_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        pooled: Tensor | None = None,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """Predict from noisy latents.

        Args:
            latents: (B, latent_channels, H, W); H and W divisible by 2^(levels - 1).
            timesteps: (B,), from 0 to the schedule's length (1000).
            context: (B, L, context_width) text features.
            pooled: (B, pooled_width), where the architecture has it (SDXL).
            sizes: (B, size_embeddings), where the architecture has them (SDXL).

        Returns:
            (B, latent_channels, H, W).
        """
        time = self.time(sinusoids(timesteps, self.conv_in.out_channels).to(latents.dtype))
        if self.added is not None:
            time = time + self.added(self._added(latents, pooled, sizes))
        x = self.conv_in(latents)
        skips = [x]
        for down in self.down:
            x = down(x, time, context, skips)
        for stage in self.middle:
            x = stage(x, time, context)
        for up in self.up:
            x = up(x, time, context, skips)
        return self.conv_out(F.silu(self.norm_out(x)))

    def _added(self, latents: Tensor, pooled: Tensor | None, sizes: Tensor | None) -> Tensor:
        if pooled is None or sizes is None:
            raise ValueError("this architecture is conditioned on a pooled text and on sizes: pass both")
        embedded = sinusoids(sizes.flatten(), SIZE_EMBEDDING_WIDTH).view(sizes.shape[0], -1)
        return torch.cat([pooled, embedded.to(pooled.dtype)], dim=1).to(latents.dtype)


def _stage(a: Architecture, stack: Level | Middle, inputs: int, outputs: int, layers: int) -> Stage:
    conv: nn.Module
    if stack.conv == "full":
        conv = FullBlock(inputs, outputs, a.time_width, a.norm_groups)
    else:
        conv = SeparableBlock(inputs, outputs, a.time_width, a.norm_groups, a.separable_expansion)
    if not layers:
        return Stage(conv, None)
    transformer_layers = [
        TransformerLayer(
            outputs,
            a.head_count(outputs),
            a.context_width,
            self_attention=stack.self_attention,
            cross_attention=stack.cross_attention,
            shared_key_value=a.shared_key_value,
            kind=a.attention,
            ratio=a.feed_forward_ratio,
            activation=a.activation,
        )
        for _ in range(layers)
    ]
    return Stage(conv, TransformerStack(outputs, a.norm_groups, a.stack_projection, transformer_layers))

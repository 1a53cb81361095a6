"""An `Architecture` as a module, built from its stages: levels down, middle, levels up, as in Table 6."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture
from space.blocks import CONV_EPS, STACK_EPS, TransformerStack, sinusoids
from space.kinds.stage import Stage
from space.kinds.table import build
from space.stages import RESAMPLING, Stages, stages, units


class Unit(nn.Module):
    """A conv block and the transformer layers that follow it, if any."""

    def __init__(self, conv: nn.Module, stack: TransformerStack | None) -> None:
        super().__init__()
        self.conv, self.stack = conv, stack

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.conv(x, time)
        return x if self.stack is None else self.stack(x, context)


class WayDown(nn.Module):
    """One level down: each of its `stages` leaves a skip connection, and so does the downsampling."""

    def __init__(self, stages: list[Unit], downsample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.downsample = nn.ModuleList(stages), downsample

    def forward(self, x: Tensor, time: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for unit in self.stages:
            x = unit(x, time, context)
            skips.append(x)
        if self.downsample is not None:
            x = self.downsample(x)
            skips.append(x)
        return x


class WayUp(nn.Module):
    """One level up: each of its `stages` takes the last skip connection left, concatenated."""

    def __init__(self, stages: list[Unit], upsample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.upsample = nn.ModuleList(stages), upsample

    def forward(self, x: Tensor, time: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for unit in self.stages:
            x = unit(torch.cat([x, skips.pop()], dim=1), time, context)
        return x if self.upsample is None else self.upsample(x)


class UNet(nn.Module):
    """The network that an `Architecture` describes.

    The output convolution starts at zero, so an untrained network predicts zero whatever it is built of.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        places = {where: tuple(part) for where, part in groupby(stages(architecture), lambda at: at.where)}
        time, *added = places.pop("embeddings")
        (first,), (last,) = places.pop("in"), places.pop("out")
        self.time = build(time)
        self.added = build(added[0]) if added else None
        self.conv_in = build(first)
        self.down, self.middle, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for where, part in places.items():
            made, resampling = [_unit(*unit) for unit in units(part)], _resampling(part)
            match where.partition("-")[0]:
                case "down":
                    self.down.append(WayDown(made, resampling))
                case "middle":
                    self.middle.extend(made)
                case "up":
                    self.up.append(WayUp(made, resampling))
                case _:
                    raise AssertionError(f"{where}: no such place in a UNet")
        self.norm_out = nn.GroupNorm(last.options.norm_groups, last.inputs, eps=CONV_EPS)
        self.conv_out = build(last)

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
        time = self.time(sinusoids(timesteps, self.architecture.levels[0].channels).to(latents.dtype))
        if self.added is not None:
            time = time + self.added(self._added(latents, pooled, sizes))
        x = self.conv_in(latents)
        skips = [x]
        for down in self.down:
            x = down(x, time, context, skips)
        for unit in self.middle:
            x = unit(x, time, context)
        for up in self.up:
            x = up(x, time, context, skips)
        return self.conv_out(F.silu(self.norm_out(x)))

    def _added(self, latents: Tensor, pooled: Tensor | None, sizes: Tensor | None) -> Tensor:
        if pooled is None or sizes is None:
            raise ValueError("this architecture is conditioned on a pooled text and on sizes: pass both")
        embedded = sinusoids(sizes.flatten(), SIZE_EMBEDDING_WIDTH).view(sizes.shape[0], -1)
        return torch.cat([pooled, embedded.to(pooled.dtype)], dim=1).to(latents.dtype)


def _unit(conv: Stage, *stack: Stage) -> Unit:
    """Initial weights are sampled in this order: the conv block, the layers, the projections around them."""
    block, layers = build(conv), [build(stage) for stage in stack if stage.kind == "transformer"]
    around = [stage for stage in stack if stage.kind != "transformer"]
    if not around:
        return Unit(block, TransformerStack(layers) if layers else None)
    before = around[0]
    norm = nn.GroupNorm(before.options.norm_groups, before.inputs, eps=STACK_EPS)
    return Unit(block, TransformerStack(layers, norm, *map(build, around)))


def _resampling(part: Stages) -> nn.Module | None:
    return build(part[-1]) if part[-1].kind in RESAMPLING else None

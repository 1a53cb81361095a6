"""What a UNet is put together from: units, levels down and up, and what a network beside it adds to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from space.blocks import TransformerStack
from space.shared.plain import InputError


class Unit(nn.Module):
    """A conv block and the transformer layers that follow it, if any."""

    def __init__(self, conv: nn.Module, stack: TransformerStack | None) -> None:
        super().__init__()
        self.conv, self.stack = conv, stack

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.conv(x, time)
        return x if self.stack is None else self.stack(x, context)


class Residuals(NamedTuple):
    """What a network beside this one adds (Zhang et al., 2023; Mou et al., 2023).

    Attributes:
        skips: ControlNet's, one for each skip connection in the order of the way down; empty: none.
        middle: ControlNet's, for what leaves the middle.
        inside: T2I-Adapter's, for the levels from the outermost on, and one more for the middle: added
            before a level's downsampling where it has transformer layers, after it where it has none.
        first: for what the first convolution makes: of inputs beside the latents.
    """

    skips: Sequence[Tensor] = ()
    middle: Tensor | None = None
    inside: Sequence[Tensor] = ()
    first: Tensor | None = None


class UNetPart(nn.Module):
    """Runs units one after another; with `gradient_checkpointing` their activations are computed again in
    the backward pass. Both names are those by which diffusers switches it on."""

    gradient_checkpointing = False

    def run(self, unit: nn.Module, *inputs: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(unit, *inputs)
        return unit(*inputs)

    def _gradient_checkpointing_func(self, unit: nn.Module, *inputs: Tensor) -> Any:
        return checkpoint(unit, *inputs, use_reentrant=False)


class WayDown(UNetPart):
    """One level down: each of its `stages` leaves a skip connection, and so does the downsampling. The last
    of them is what the next level takes.

    Attributes:
        places: what leaves the skip connections, by its name in the network.
    """

    def __init__(self, name: str, stages: list[Unit], downsample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.downsample = nn.ModuleList(stages), downsample
        self.attends = any(unit.stack is not None for unit in stages)
        self.places = [f"{name}.stages.{index}" for index in range(len(stages))]
        self.places += [] if downsample is None else [f"{name}.downsample"]

    def forward(
        self, x: Tensor, time: Tensor, context: Tensor, residual: Tensor | None = None
    ) -> list[Tensor]:
        skips = []
        for unit in self.stages:
            x = self.run(unit, x, time, context)
            skips.append(x)
        if residual is not None and self.attends:
            x = skips[-1] = plus(x, residual, "inside", self.places[len(skips) - 1])
        if self.downsample is not None:
            x = self.downsample(x)
            skips.append(x)
        if residual is not None and not self.attends:
            skips[-1] = plus(x, residual, "inside", self.places[-1])
        return skips


class WayUp(UNetPart):
    """One level up: each of its `stages` takes the last of `skips` that is left, concatenated. The map then
    grows to `size`, that of the next level's skips: an odd side was halved to its greater half.

    Attributes:
        reweigh: changes what comes from below and a skip before they are joined, if set (FreeU).
    """

    def __init__(self, stages: list[Unit], upsample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.upsample = nn.ModuleList(stages), upsample
        self.reweigh: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        context: Tensor,
        skips: list[Tensor],
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        for unit in self.stages:
            x = self.run(unit, self._joined(x, skips.pop()), time, context)
        return x if self.upsample is None else self.upsample(x, size)

    def _joined(self, x: Tensor, skip: Tensor) -> Tensor:
        if self.reweigh is not None:
            x, skip = self.reweigh(x, skip)
        return torch.cat([x, skip], dim=1)


def plus(x: Tensor, residual: Tensor, name: str, behind: str) -> Tensor:
    """A map with a residual added. Raises InputError, naming the layer whose map has another shape."""
    if residual.shape[1:] != x.shape[1:]:
        raise InputError(
            f"residuals.{name}: {list(residual.shape[1:])} is not the map behind {behind}, "
            f"{list(x.shape[1:])} (channels, height, width)"
        )
    return x + residual

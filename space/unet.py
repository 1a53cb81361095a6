"""An `Architecture` as a module, built from its stages: levels down, middle, levels up, as in Table 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture
from space.blocks import CONV_EPS, STACK_EPS, TransformerStack, sinusoids
from space.kinds.stage import Stage
from space.kinds.table import build
from space.shared.plain import InputError
from space.stages import RESAMPLING, Stages, stages, units

Checkpointing = Literal["none", "levels", "blocks"]


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
    """

    skips: Sequence[Tensor] = ()
    middle: Tensor | None = None
    inside: Sequence[Tensor] = ()


class _Part(nn.Module):
    """Runs units one after another; with `gradient_checkpointing` their activations are computed again in
    the backward pass. Both names are those by which diffusers switches it on."""

    gradient_checkpointing = False

    def run(self, unit: nn.Module, *inputs: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(unit, *inputs)
        return unit(*inputs)

    def _gradient_checkpointing_func(self, unit: nn.Module, *inputs: Tensor) -> Any:
        return checkpoint(unit, *inputs, use_reentrant=False)


class WayDown(_Part):
    """One level down: each of its `stages` leaves a skip connection, and so does the downsampling. The last
    of them is what the next level takes."""

    def __init__(self, stages: list[Unit], downsample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.downsample = nn.ModuleList(stages), downsample
        self.attends = any(unit.stack is not None for unit in stages)

    def forward(
        self, x: Tensor, time: Tensor, context: Tensor, residual: Tensor | None = None
    ) -> list[Tensor]:
        skips = []
        for unit in self.stages:
            x = self.run(unit, x, time, context)
            skips.append(x)
        if residual is not None and self.attends:
            x = skips[-1] = _plus(x, residual, "inside")
        if self.downsample is not None:
            x = self.downsample(x)
            skips.append(x)
        if residual is not None and not self.attends:
            skips[-1] = _plus(x, residual, "inside")
        return skips


class WayUp(_Part):
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


class UNet(_Part):
    """The network that an `Architecture` describes.

    The output convolution starts at zero, so an untrained network predicts zero whatever it is built of.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        places = {where: tuple(part) for where, part in groupby(stages(architecture), lambda at: at.where)}
        embeddings = {stage.kind: stage for stage in places.pop("embeddings")}
        (first,), (last,) = places.pop("in"), places.pop("out")
        self.time = build(embeddings.pop("time embedding"))
        self.added, self.guidance = (
            build(embeddings[kind]) if kind in embeddings else None
            for kind in ("added conditions", "guidance")
        )
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
        self.level_checkpointing = False

    def checkpoint(self, what: Checkpointing) -> None:
        """From now on the activations within each level, or within each conv block and the layers behind it,
        are computed again in the backward pass instead of kept. A middle has no levels: there, they are
        blocks'."""
        self.level_checkpointing = what == "levels"
        for part in self.modules():
            if isinstance(part, _Part):
                part.gradient_checkpointing = what == "blocks" or (what == "levels" and part is self)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        pooled: Tensor | None = None,
        sizes: Tensor | None = None,
        guidance: Tensor | None = None,
        residuals: Residuals | None = None,
    ) -> Tensor:
        """Predict from noisy latents.

        Args:
            latents: (B, input_channels, H, W), the noisy ones first; of any size.
            timesteps: (B,), from 0 to the schedule's length (1000).
            context: (B, L, context_width) text features.
            pooled: (B, pooled_width), where the architecture has it (SDXL).
            sizes: (B, size_embeddings), where the architecture has them (SDXL).
            guidance: (B, guidance_width), an embedded guidance scale, where the architecture has it (LCM).

        Returns:
            (B, latent_channels, H, W).

        Raises:
            InputError: conditions or residuals that are not the architecture's.
        """
        time = self._time(latents, timesteps, pooled, sizes, guidance)
        beside = residuals or Residuals()
        inside = self._inside(beside.inside)
        skips = [self.conv_in(latents)]
        for down, residual in zip(self.down, inside, strict=False):
            skips += self._level(down, skips[-1], time, context, residual)
        x = skips[-1]
        if beside.skips:
            skips = _all_plus(skips, beside.skips)
        for unit in self.middle:
            x = self.run(unit, x, time, context)
        for residual, name in ((inside[-1], "inside"), (beside.middle, "middle")):
            x = x if residual is None else _plus(x, residual, name)
        for up in self.up:
            assert isinstance(up, WayUp)
            first = len(skips) - len(up.stages)
            own, skips[first:] = skips[first:], []
            x = self._level(up, x, time, context, own, tuple(skips[-1].shape[-2:]) if skips else None)
        return self.conv_out(F.silu(self.norm_out(x)))

    def _level(self, level: nn.Module, *inputs: Any) -> Any:
        if self.level_checkpointing and torch.is_grad_enabled():
            return checkpoint(partial(_leaving_lists, level), *inputs, use_reentrant=False)
        return level(*inputs)

    def _inside(self, residuals: Sequence[Tensor]) -> list[Tensor | None]:
        """One a level, the last for the middle."""
        most = len(self.down) + bool(len(self.middle))
        if len(residuals) > most:
            raise InputError(f"residuals.inside: {len(residuals)}; this architecture takes at most {most}")
        return [*residuals, *[None] * (len(self.down) + 1 - len(residuals))]

    def _time(
        self,
        latents: Tensor,
        timesteps: Tensor,
        pooled: Tensor | None,
        sizes: Tensor | None,
        guidance: Tensor | None,
    ) -> Tensor:
        """(B, time_width): the embedded time, and what else the architecture is told as one vector."""
        a = self.architecture
        embedded = sinusoids(timesteps, a.levels[0].channels).to(latents.dtype)
        if guidance is not None:
            _check_width("guidance", guidance, a.guidance_width)
            embedded = embedded if self.guidance is None else embedded + self.guidance(guidance)
        time = self.time(embedded)
        for name, given, width in (("pooled", pooled, a.pooled_width), ("sizes", sizes, a.size_embeddings)):
            if given is not None:
                _check_width(name, given, width)
            elif width:
                raise InputError(f"{name}: missing; where an architecture has pooled and sizes, pass both")
        return time if self.added is None else time + self.added(self._added(latents, pooled, sizes))

    def _added(self, latents: Tensor, pooled: Tensor | None, sizes: Tensor | None) -> Tensor:
        parts = [] if pooled is None else [pooled]
        if sizes is not None:
            parts.append(sinusoids(sizes.flatten(), SIZE_EMBEDDING_WIDTH).view(sizes.shape[0], -1))
        return torch.cat([part.to(latents.dtype) for part in parts], dim=1)


def _leaving_lists(level: nn.Module, *inputs: Any) -> Any:
    """A level up empties its list of skips, which it is given a second time in the backward pass."""
    return level(*(list(each) if isinstance(each, list) else each for each in inputs))


def _check_width(name: str, given: Tensor, width: int) -> None:
    if given.shape[-1] != width:
        raise InputError(f"{name}: {given.shape[-1]} numbers an image; this architecture takes {width}")


def _plus(x: Tensor, residual: Tensor, name: str) -> Tensor:
    if residual.shape[1:] != x.shape[1:]:
        raise InputError(
            f"residuals.{name}: {list(residual.shape[1:])} is not the map that it is added to, "
            f"{list(x.shape[1:])} (channels, height, width)"
        )
    return x + residual


def _all_plus(skips: list[Tensor], residuals: Sequence[Tensor]) -> list[Tensor]:
    if len(residuals) != len(skips):
        raise InputError(f"residuals.skips: {len(residuals)}; this architecture has {len(skips)} skips")
    return [_plus(skip, residual, "skips") for skip, residual in zip(skips, residuals, strict=True)]


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

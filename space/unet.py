"""An `Architecture` as a module, built from its stages: levels down, middle, levels up, as in Table 6."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any, Literal

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
from space.unet_levels import Residuals, UNetPart, Unit, WayDown, WayUp, plus

Checkpointing = Literal["none", "levels", "blocks"]


class UNetEncoder(UNetPart):
    """The half of a network that leads down: embeddings, the first convolution, levels down, and the middle.

    Initial weights are sampled in this order, and after them those of what leads up.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        places = _places(architecture)
        embeddings = {stage.kind: stage for stage in places["embeddings"]}
        self.time = build(embeddings.pop("time embedding"))
        self.added, self.guidance = (
            build(embeddings[kind]) if kind in embeddings else None
            for kind in ("added conditions", "guidance")
        )
        self.conv_in = build(*places["in"])
        self.down, self.middle = nn.ModuleList(), nn.ModuleList()
        for where, part in places.items():
            match where.partition("-")[0]:
                case "down":
                    self.down.append(WayDown(f"down.{len(self.down)}", *_level(part)))
                case "middle":
                    self.middle.extend(_level(part)[0])
        self.level_checkpointing = False

    @property
    def places(self) -> list[str]:
        """What leaves the skip connections, by its name, in the order of the way down."""
        ways = (down for down in self.down if isinstance(down, WayDown))
        return ["conv_in", *(place for down in ways for place in down.places)]

    def checkpoint(self, what: Checkpointing) -> None:
        """From now on the activations within each level, or within each conv block and the layers behind it,
        are computed again in the backward pass instead of kept. A middle has no levels: there, they are
        blocks'."""
        self.level_checkpointing = what == "levels"
        for part in self.modules():
            if isinstance(part, UNetPart):
                part.gradient_checkpointing = what == "blocks" or (what == "levels" and part is self)

    def way_down(
        self, x: Tensor, time: Tensor, context: Tensor, inside: Sequence[Tensor | None] = ()
    ) -> list[Tensor]:
        """The skip connections of what the first convolution made: the map itself, and those of the levels.

        Args:
            inside: a residual for each level, or none for any.
        """
        skips = [x]
        for index, down in enumerate(self.down):
            skips += self.run_level(down, skips[-1], time, context, inside[index] if inside else None)
        return skips

    def through_middle(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        for unit in self.middle:
            x = self.run(unit, x, time, context)
        return x

    def run_level(self, level: nn.Module, *inputs: Any) -> Any:
        if self.level_checkpointing and torch.is_grad_enabled():
            return checkpoint(partial(_leaving_lists, level), *inputs, use_reentrant=False)
        return level(*inputs)

    def embedded(
        self,
        latents: Tensor,
        timesteps: Tensor,
        pooled: Tensor | None = None,
        sizes: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """(B, time_width): the embedded time, and what else the architecture is told as one vector."""
        a = self.architecture
        embedded = sinusoids(timesteps, a.levels[0].channels).to(latents.dtype)
        if guidance is not None:
            _check_width("guidance", guidance, a.guidance_width)
            embedded = embedded if self.guidance is None else embedded + self.guidance(guidance)
        time: Tensor = self.time(embedded)
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


class UNet(UNetEncoder):
    """The network that an `Architecture` describes.

    The output convolution starts at zero, so an untrained network predicts zero whatever it is built of.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        places = _places(architecture)
        self.up = nn.ModuleList(WayUp(*_level(part)) for where, part in places.items() if where[:3] == "up-")
        (last,) = places["out"]
        self.norm_out = nn.GroupNorm(last.options.norm_groups, last.inputs, eps=CONV_EPS)
        self.conv_out = build(last)

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
        time = self.embedded(latents, timesteps, pooled, sizes, guidance)
        beside = residuals or Residuals()
        inside = self._inside(beside.inside)
        x = self.conv_in(latents)
        x = x if beside.first is None else plus(x, beside.first, "first", "conv_in")
        skips = self.way_down(x, time, context, inside)
        x = skips[-1]
        if beside.skips:
            skips = self._all_plus(skips, beside.skips)
        x = self.through_middle(x, time, context)
        for residual, name in ((inside[-1], "inside"), (beside.middle, "middle")):
            x = x if residual is None else plus(x, residual, name, self._end)
        for up in self.up:
            assert isinstance(up, WayUp)
            first = len(skips) - len(up.stages)
            own, skips[first:] = skips[first:], []
            x = self.run_level(up, x, time, context, own, tuple(skips[-1].shape[-2:]) if skips else None)
        return self.conv_out(F.silu(self.norm_out(x)))

    def _inside(self, residuals: Sequence[Tensor]) -> list[Tensor | None]:
        """One a level, the last for the middle."""
        most = len(self.down) + bool(len(self.middle))
        if len(residuals) > most:
            raise InputError(f"residuals.inside: {len(residuals)}; this architecture takes at most {most}")
        return [*residuals, *[None] * (len(self.down) + 1 - len(residuals))]

    @property
    def _end(self) -> str:
        """What a residual of the middle is added behind."""
        return f"middle.{len(self.middle) - 1}" if len(self.middle) else self.places[-1]

    def _all_plus(self, skips: list[Tensor], residuals: Sequence[Tensor]) -> list[Tensor]:
        """Raises InputError, naming the first layer that differs from what the residuals are for."""
        each = list(zip(skips, residuals, self.places, strict=False))
        if len(residuals) != len(skips):
            others = [place for skip, residual, place in each if skip.shape[1:] != residual.shape[1:]]
            first = [*others, *self.places[len(residuals) :], "none"][0]
            raise InputError(
                f"residuals.skips: {len(residuals)}; this architecture has {len(skips)} skips, the first "
                f"that differs behind {first}"
            )
        return [plus(skip, residual, "skips", place) for skip, residual, place in each]


def _places(architecture: Architecture) -> dict[str, Stages]:
    """The stages of each place, in the order of the forward pass."""
    return {where: tuple(part) for where, part in groupby(stages(architecture), lambda at: at.where)}


def _level(part: Stages) -> tuple[list[Unit], nn.Module | None]:
    """The units of a place, and its downsampling or upsampling, if there is one."""
    return [_unit(*unit) for unit in units(part)], _resampling(part)


def _leaving_lists(level: nn.Module, *inputs: Any) -> Any:
    """A level up empties its list of skips, which it is given a second time in the backward pass."""
    return level(*(list(each) if isinstance(each, list) else each for each in inputs))


def _check_width(name: str, given: Tensor, width: int) -> None:
    if given.shape[-1] != width:
        raise InputError(f"{name}: {given.shape[-1]} numbers an image; this architecture takes {width}")


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

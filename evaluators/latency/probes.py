"""Small networks that tell what a part takes inside a network: they differ by that part alone.

A part's time is that of a chain with some more of it, less that of the chain with fewer, a part for each. So
every part that counts has its like, or what it stands behind in a network, as neighbours, and weights of its
own; what a call costs by itself cancels. Every chain takes `x`, (1, C, S, S), and, where its parts do, `time`
and `context`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from evaluators.latency.part_stages import PLAIN_FEED_FORWARD, stage_of
from space.kinds.convolution import OutOptions
from space.kinds.stage import Stage
from space.kinds.table import IMAGE_BLOCKS, IMAGE_KINDS, KINDS, build
from space.kinds.transformer import ProjectionOptions
from space.prices.macs import cost_of
from space.prices.parts import TimedPart
from space.shared.plain import InputError

MORE_WORK = 2e9  # MACs: what is at least this much needs no repetition to stand out from the noise
MOST_TIMES = 4  # `_Apart.forward` names one more
TIME_WIDTH = 1280  # of a block that only stands between two stacks


class Probe(NamedTuple):
    """A chain: what it is made of decides it, so that two parts may share one."""

    part: TimedPart
    times: int
    width: int = 0  # of stacks: layers in all

    def name(self) -> str:
        return f"{self.times} x {self.part}" + (f", {self.width} layers" if self.width else "")


@dataclass(frozen=True)
class ChainPair:
    """Two chains, the one with `times` more of a part."""

    part: TimedPart
    more: Probe
    fewer: Probe
    times: int


def pair(part: TimedPart) -> ChainPair:
    times = _times(part)
    if part.kind in ("self-attention", "cross-attention"):
        plain = TimedPart(
            "feed-forward", part.size, part.inputs, part.outputs, tuple(PLAIN_FEED_FORWARD.items())
        )
        return ChainPair(part, Probe(part, times), Probe(plain, times), times)
    if part.kind == "stack":
        return ChainPair(part, Probe(part, 3, 3), Probe(part, 1, 3), 2)
    return ChainPair(part, Probe(part, 1 + times), Probe(part, 1), times)


def macs(part: TimedPart) -> int:
    """Of what a part does."""
    if part.kind == "stack":
        return 0
    beside = part.kind in ("self-attention", "cross-attention")
    return cost_of(stage_of(part)).macs - (_feed_forward_macs(part) if beside else 0)


def _times(part: TimedPart) -> int:
    work = max(1, macs(part))
    return max(1, min(MOST_TIMES, round(MORE_WORK / work)))


def _feed_forward_macs(part: TimedPart) -> int:
    return cost_of(stage_of(TimedPart("feed-forward", *part[1:4], tuple(PLAIN_FEED_FORWARD.items())))).macs


def probe_parameters(probe: Probe) -> int:
    """Of all weights of a chain; of stacks without the blocks between them."""
    part = probe.part
    if part.kind == "stack":
        part = TimedPart("feed-forward", *part[1:4], tuple(PLAIN_FEED_FORWARD.items()))
    return max(probe.times, probe.width) * cost_of(stage_of(part)).parameters


# ---------------------------------------------------------------------- chains as modules


def build_probe(probe: Probe) -> tuple[nn.Module, dict[str, Tensor]]:
    """A chain with new weights, and what it takes.

    Raises:
        InputError: a kind that no chain is known of.
    """
    part = probe.part
    if part.kind == "stack":
        module: nn.Module = _Stacks(part, probe.times, probe.width)
    elif part.kind in IMAGE_BLOCKS:
        module = _Blocks(part, probe.times)
    elif part.kind in ("self-attention", "cross-attention", "feed-forward"):
        module = _Layers(part, probe.times)
    elif part.kind in ("project in", "project out"):
        module = _Projections(part, probe.times)
    elif part.kind in KINDS or part.kind in IMAGE_KINDS:
        module = _Apart(part, probe.times)
    else:
        known = ", ".join(dict.fromkeys([*KINDS, *IMAGE_KINDS]))
        raise InputError(f"{part.kind}: no chain is known that tells its time; allowed: {known}")
    assert isinstance(module, _Chain)
    return module, module.takes()


class _Chain(nn.Module):
    """Gives what rotates through it: its map, the embedded time where blocks take it, a text."""

    def __init__(self, part: TimedPart, modules: list[nn.Module]) -> None:
        super().__init__()
        self.part, self.each = part, nn.ModuleList(modules)

    def takes(self) -> dict[str, Tensor]:
        return {"x": self._map(self.part.inputs)}

    def _map(self, channels: int) -> Tensor:
        return torch.randn(1, channels, self.part.size, self.part.size)


class _Blocks(_Chain):
    """Conv blocks in a row. One that joins a skip takes the same again; one that widens is cut, one that
    narrows without a skip gets its lost channels back."""

    def __init__(self, part: TimedPart, times: int) -> None:
        super().__init__(part, [build(stage_of(part)) for _ in range(times)])
        options = dict(part.options)
        self.joined = options.get("joined", False)  # plain ones never are
        self.time_width = options.get("time_width", 0)  # an autoencoder knows no time

    def takes(self) -> dict[str, Tensor]:
        part = self.part
        found = {"x": self._map(part.outputs if self.joined else part.inputs)}
        if self.time_width:
            found["time"] = torch.randn(1, self.time_width)
        if self.joined:
            found["skip"] = self._map(part.inputs - part.outputs)
        return found

    def forward(self, x: Tensor, time: Tensor | None = None, skip: Tensor | None = None) -> Tensor:
        inputs, outputs, entered = self.part.inputs, self.part.outputs, x
        for number, block in enumerate(self.each):
            if skip is not None:
                x = torch.cat([x, skip], dim=1)
            elif number and outputs > inputs:
                x = x[:, :inputs]
            elif number and outputs < inputs:
                x = torch.cat([x, entered[:, outputs:]], dim=1)
            entered, x = x, block(x) if time is None else block(x, time)
        return x


class _Layers(_Chain):
    """Transformer layers on tokens."""

    def __init__(self, part: TimedPart, times: int) -> None:
        super().__init__(part, [build(stage_of(part)) for _ in range(times)])

    def takes(self) -> dict[str, Tensor]:
        options, part = dict(self.part.options), self.part
        found = {"x": torch.randn(1, part.size * part.size, part.inputs)}
        if part.kind == "cross-attention":
            found["context"] = torch.randn(1, options["context_length"], options["context_width"])
        return found

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        for layer in self.each:
            x = layer(x, context)
        return x


class _Stacks(_Chain):
    """As many separable blocks and layers, whether these stand in one stack or behind a block each."""

    def __init__(self, part: TimedPart, times: int, layers: int) -> None:
        plain = TimedPart("feed-forward", *part[1:4], tuple(PLAIN_FEED_FORWARD.items()))
        super().__init__(part, [build(stage_of(plain)) for _ in range(layers)])
        block = Stage(
            "separable",
            part.inputs,
            part.outputs,
            part.size,
            KINDS["separable"].options(TIME_WIDTH, 32 if part.inputs % 32 == 0 else 1, 1, 3),
        )
        self.blocks = nn.ModuleList(build(block) for _ in range(layers))
        first = layers - times + 1
        self.ends = [first + number if number < times else layers for number in range(layers)]

    def takes(self) -> dict[str, Tensor]:
        return super().takes() | {"time": torch.randn(1, TIME_WIDTH)}

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        layers, begin = list(self.each), 0
        for block, end in zip(self.blocks, self.ends, strict=True):
            x = block(x, time)
            if begin < end:
                tokens = x.flatten(2).transpose(1, 2)
                for layer in layers[begin:end]:
                    tokens = layer(tokens, None)
                x = tokens.transpose(1, 2).unflatten(2, x.shape[-2:])
            begin = end
        return x


class _Projections(_Chain):
    """Projections in a row, each behind its norm where it leads into a stack."""

    def __init__(self, part: TimedPart, times: int) -> None:
        super().__init__(part, [build(stage_of(part)) for _ in range(times)])
        options = ProjectionOptions(**dict(part.options))
        self.on_map = options.stack_projection == "conv"
        normed = part.kind == "project in"
        self.norms = nn.ModuleList(
            nn.GroupNorm(options.norm_groups, part.inputs, eps=1e-6) for _ in range(times if normed else 0)
        )

    def forward(self, x: Tensor) -> Tensor:
        for number, projection in enumerate(self.each):
            h = self.norms[number](x) if len(self.norms) else x
            if self.on_map:
                h = projection(h)
            else:
                h = projection(h.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[-2:])
            x = h if len(self.norms) else x + h
        return x


class _Apart(_Chain):
    """What cannot follow itself: side by side on inputs of their own, results added."""

    def __init__(self, part: TimedPart, times: int) -> None:
        super().__init__(part, [build(stage_of(part)) for _ in range(times)])
        self.vector = part.kind in ("time embedding", "added conditions", "guidance")
        norms = []
        if part.kind == "conv out":
            groups = OutOptions(**dict(part.options)).norm_groups
            norms = [nn.GroupNorm(groups, part.inputs, eps=1e-5) for _ in range(times)]
        self.norms = nn.ModuleList(norms)

    def takes(self) -> dict[str, Tensor]:
        shape = () if self.vector else (self.part.size, self.part.size)
        return {f"x{number}": torch.randn(1, self.part.inputs, *shape) for number in range(len(self.each))}

    def forward(
        self,
        x0: Tensor,
        x1: Tensor | None = None,
        x2: Tensor | None = None,
        x3: Tensor | None = None,
        x4: Tensor | None = None,
    ) -> Tensor:
        total = None
        for number, (module, one) in enumerate(zip(self.each, (x0, x1, x2, x3, x4), strict=False)):
            if len(self.norms):
                one = nn.functional.silu(self.norms[number](one))
            total = module(one) if total is None else total + module(one)
        assert total is not None
        return total

"""The lines of the paper's Table 6: a level of a UNet, and a middle where it has one of its own."""

from __future__ import annotations

from dataclasses import dataclass

from space.kinds.stage import ConvKind
from space.kinds.table import CONV_BLOCKS
from space.shared.plain import InputError, entry_of


@dataclass(frozen=True)
class Level:
    """One resolution of the UNet, its way down and its way up.

    `down[i]` and `up[i]` are the transformer layers that follow the i-th conv block of that side; the
    way up has one conv block more than the way down, since each consumes one skip connection and the
    level's input (the first convolution, or the downsampling) is skipped to as well.
    """

    channels: int
    conv: ConvKind
    down: tuple[int, ...]
    up: tuple[int, ...]
    self_attention: bool = False
    cross_attention: bool = False

    @property
    def layers(self) -> int:
        """Transformer layers of both sides."""
        return sum(self.down) + sum(self.up)

    def __post_init__(self) -> None:
        at_least("channels", self.channels, 1)
        entry_of(CONV_BLOCKS, self.conv, "conv")
        _check_blocks("down", self.down)
        _check_blocks("up", self.up)
        if len(self.up) != len(self.down) + 1:
            raise InputError(
                f"up: {list(self.up)} has {len(self.up)} conv blocks; allowed: one more than down, "
                f"which is {len(self.down) + 1} (each takes one skip connection)"
            )


@dataclass(frozen=True)
class Middle:
    """A bottleneck stack of its own at the innermost width (SD, SDXL); MD has none."""

    blocks: tuple[int, ...]
    conv: ConvKind = "full"
    self_attention: bool = True
    cross_attention: bool = True

    @property
    def layers(self) -> int:
        return sum(self.blocks)

    def __post_init__(self) -> None:
        entry_of(CONV_BLOCKS, self.conv, "conv")
        _check_blocks("blocks", self.blocks)


def at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: {value} is not possible; allowed: {least} or more")


def _check_blocks(name: str, blocks: tuple[int, ...]) -> None:
    if not blocks:
        raise InputError(f"{name}: empty; allowed: one conv block or more, each with 0 or more layers")
    for index, layers in enumerate(blocks):
        at_least(f"{name}[{index}]", layers, 0)

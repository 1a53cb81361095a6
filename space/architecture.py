"""The one noun: a text-to-image UNet, described in the units of the paper's Table 6.

A level is a line of that table: its channels, the kind of its conv blocks, and, for each conv block on
the way down and on the way up, how many transformer layers follow it. `down: [3, 3]` reads "two conv
blocks, three transformer layers after each".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from space.shared.plain import InputError, from_plain, to_plain

SCHEMA_VERSION = 1
SIZE_EMBEDDING_WIDTH = 256  # SDXL embeds each of its size numbers into so many sines and cosines

ConvKind = Literal["full", "separable"]
Activation = Literal["swish", "gelu"]
AttentionKind = Literal["softmax", "relu"]
Projection = Literal["none", "conv", "linear"]


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
        _at_least("channels", self.channels, 1)
        _blocks("down", self.down)
        _blocks("up", self.up)
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
        _blocks("blocks", self.blocks)


@dataclass(frozen=True)
class Architecture:
    """A UNet that predicts noise, velocity or the clean latent from a noisy latent, a time and a text.

    Widths are in channels, `latent_size` in latent pixels (64 for 512 px images at f = 8), `context_*`
    describe the text features (77 x 768 for CLIP ViT-L/14). Exactly one of `head_width` (channels a
    head) and `heads` (heads a layer) is set. `pooled_width` and `size_embeddings` are SDXL's added
    conditioning: a pooled text vector, and so many numbers embedded by 256 sines and cosines each.

    What the paper leaves open is stated in docs/architecture.md, with the counts that the choices give.
    """

    levels: tuple[Level, ...]
    middle: Middle | None = None
    separable_expansion: int = 4
    feed_forward_ratio: int = 3
    activation: Activation = "swish"
    attention: AttentionKind = "softmax"
    shared_key_value: bool = True
    head_width: int | None = 64
    heads: int | None = None
    norm_groups: int = 32
    time_width: int = 1280
    stack_projection: Projection = "none"
    latent_channels: int = 8
    latent_size: int = 64
    context_length: int = 77
    context_width: int = 768
    pooled_width: int = 0
    size_embeddings: int = 0
    schema_version: int = SCHEMA_VERSION

    # ------------------------------------------------------------------ reading and writing

    @classmethod
    def from_plain(cls, data: Any, where: str = "") -> Architecture:
        """From what YAML holds. Raises InputError, naming the field."""
        architecture = from_plain(cls, data, where)
        assert isinstance(architecture, cls)
        return architecture

    @classmethod
    def from_yaml(cls, text: str, where: str = "") -> Architecture:
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{where or 'architecture'}: not YAML: {reason}") from None
        return cls.from_plain(data, where)

    @classmethod
    def load(cls, path: str | Path) -> Architecture:
        """From a YAML file; no Hydra needed. Raises InputError where the file is missing or wrong."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as an architecture: {error}") from None
        return cls.from_yaml(text, str(path))

    def to_plain(self) -> dict[str, Any]:
        plain = to_plain(self, omit_defaults=True)
        plain["schema_version"] = self.schema_version
        return plain

    def to_yaml(self) -> str:
        """Short YAML: one line a level, fields at their default left out. Loads back equal."""

        def line(item: Any) -> str:
            return yaml.safe_dump(item, default_flow_style=True, sort_keys=False, width=1000).strip()

        plain = self.to_plain()
        levels = plain.pop("levels")
        plain = {"schema_version": plain.pop("schema_version")} | plain
        lines = [line({key: value})[1:-1] for key, value in plain.items()]
        return "\n".join([*lines, "levels:", *(f"- {line(level)}" for level in levels)]) + "\n"

    # ------------------------------------------------------------------ identity

    def canonical(self) -> Architecture:
        """The same network with every switch that changes nothing at its default."""
        levels = tuple(
            level if level.layers else replace(level, self_attention=False, cross_attention=False)
            for level in self.levels
        )
        middle = self.middle
        if middle is not None and not middle.layers:
            middle = replace(middle, self_attention=False, cross_attention=False)
        stacks: list[Level | Middle] = [*levels, *([middle] if middle else [])]
        default: dict[str, Any] = {
            name: Architecture.__dataclass_fields__[name].default
            for name, used in {
                "separable_expansion": any(stack.conv == "separable" for stack in stacks),
                "feed_forward_ratio": any(stack.layers for stack in stacks),
                "activation": any(stack.layers for stack in stacks),
                "stack_projection": any(stack.layers for stack in stacks),
                "shared_key_value": any(stack.self_attention for stack in stacks),
                "attention": any(stack.self_attention or stack.cross_attention for stack in stacks),
            }.items()
            if not used
        }
        if not any(stack.self_attention or stack.cross_attention for stack in stacks):
            default |= {"head_width": 64, "heads": None}
        if not any(stack.cross_attention for stack in stacks):
            default |= {"context_length": 77, "context_width": 768}
        return replace(self, levels=levels, middle=middle, **default)

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits; equal for two descriptions of one network.

        Fields at their default don't enter, so an id survives fields added later.
        """
        around, levels = self.identity_parts()
        return identity(around, levels)

    def identity_parts(self) -> tuple[str, list[str]]:
        """What the id is made of: the text around the levels, "@" in their place, and one text a level."""
        plain = self.canonical().to_plain()
        levels = [_compact(level) for level in plain["levels"]]
        return _compact(plain | {"levels": ["@"]}).replace('"@"', "@"), levels

    # ------------------------------------------------------------------ derived

    def head_count(self, channels: int) -> int:
        """Attention heads of a layer that is `channels` wide."""
        return self.heads if self.heads is not None else channels // (self.head_width or channels)

    def size_at(self, level: int) -> int:
        """Height and width, in latent pixels, of the feature map at a level (0 is the outermost)."""
        return self.latent_size >> level

    @property
    def added_width(self) -> int:
        """Width of SDXL's added conditions, the pooled text and the embedded sizes; 0 without them."""
        return self.pooled_width + self.size_embeddings * SIZE_EMBEDDING_WIDTH

    @property
    def conv_blocks(self) -> int:
        blocks = sum(len(level.down) + len(level.up) for level in self.levels)
        return blocks + (len(self.middle.blocks) if self.middle else 0)

    @property
    def self_attention_layers(self) -> int:
        return sum(stack.layers for stack in self._stacks() if stack.self_attention)

    @property
    def cross_attention_layers(self) -> int:
        return sum(stack.layers for stack in self._stacks() if stack.cross_attention)

    def _stacks(self) -> Iterator[Level | Middle]:
        yield from self.levels
        if self.middle is not None:
            yield self.middle

    # ------------------------------------------------------------------ checks

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise InputError(f"schema_version: {self.schema_version} is not known; allowed: {SCHEMA_VERSION}")
        if not self.levels:
            raise InputError("levels: empty; allowed: one level or more, outermost first")
        for name in ("separable_expansion", "feed_forward_ratio", "norm_groups", "time_width"):
            _at_least(name, getattr(self, name), 1)
        for name in ("latent_channels", "latent_size", "context_length", "context_width"):
            _at_least(name, getattr(self, name), 1)
        for name in ("pooled_width", "size_embeddings"):
            _at_least(name, getattr(self, name), 0)
        self._check_heads()
        deepest = 1 << (len(self.levels) - 1)
        if self.latent_size % deepest:
            raise InputError(
                f"latent_size: {self.latent_size} cannot be halved {len(self.levels) - 1} times; allowed: "
                f"multiples of {deepest}, the nearest is {_nearest_multiple(self.latent_size, deepest)}"
            )
        if self.levels[0].channels % 2:
            raise InputError(
                f"levels[0].channels: {self.levels[0].channels} is odd; allowed: even "
                "(half sines, half cosines of the time embedding)"
            )
        for index, level in enumerate(self.levels):
            if level.channels % self.norm_groups:
                raise InputError(
                    f"levels[{index}].channels: {level.channels} does not divide into norm_groups = "
                    f"{self.norm_groups}; nearest: {_nearest_multiple(level.channels, self.norm_groups)}"
                )

    def _check_heads(self) -> None:
        if (self.head_width is None) == (self.heads is None):
            raise InputError(
                f"head_width: {self.head_width} beside heads: {self.heads}; allowed: exactly one of the two "
                "(set the other to null)"
            )
        name = "head_width" if self.heads is None else "heads"
        divisor = getattr(self, name)
        _at_least(name, divisor, 1)
        widths = [(f"levels[{index}]", level, level.channels) for index, level in enumerate(self.levels)]
        stacks: list[tuple[str, Level | Middle, int]] = list(widths)
        if self.middle is not None:
            stacks.append(("middle", self.middle, self.levels[-1].channels))
        for where, stack, channels in stacks:
            attends = stack.layers and (stack.self_attention or stack.cross_attention)
            if attends and channels % divisor:
                raise InputError(
                    f"{where}.channels: {channels} does not divide into {name} = {divisor}; "
                    f"nearest: {_nearest_multiple(channels, divisor)}"
                )


def identity(around: str, levels: Iterable[str]) -> str:
    """The id of the network that has these `identity_parts`."""
    return hashlib.sha256(around.replace("@", ",".join(levels)).encode()).hexdigest()[:12]


def _compact(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def difference(before: Architecture, after: Architecture) -> list[str]:
    """What changes from one architecture to another, a readable line for each; empty if they are equal.

    >>> difference(md, md_lite)
    ['level 3 channels: 1024 -> 896', 'level 3 up: [3, 3, 3] -> [2, 2, 2]']
    """
    old, new = before.canonical(), after.canonical()
    lines: list[str] = []
    for index in range(max(len(old.levels), len(new.levels))):
        if index >= len(new.levels):
            lines.append(f"level {index + 1}: removed ({old.levels[index].channels} channels)")
        elif index >= len(old.levels):
            lines.append(f"level {index + 1}: added ({new.levels[index].channels} channels)")
        else:
            lines += _field_lines(f"level {index + 1} ", old.levels[index], new.levels[index])
    if old.middle is not None and new.middle is not None:
        lines += _field_lines("middle ", old.middle, new.middle)
    elif old.middle != new.middle:
        lines.append(f"middle: {_shown(old.middle)} -> {_shown(new.middle)}")
    return lines + _field_lines("", old, new, skip=("levels", "middle"))


def _field_lines(prefix: str, old: Any, new: Any, skip: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{prefix}{name.replace('_', ' ')}: {_shown(getattr(old, name))} -> {_shown(getattr(new, name))}"
        for name in old.__dataclass_fields__
        if name not in skip and getattr(old, name) != getattr(new, name)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Middle):
        return f"blocks {list(value.blocks)}"
    return "none" if value is None else str(list(value) if isinstance(value, tuple) else value)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: {value} is not possible; allowed: {least} or more")


def _blocks(name: str, blocks: tuple[int, ...]) -> None:
    if not blocks:
        raise InputError(f"{name}: empty; allowed: one conv block or more, each with 0 or more layers")
    for index, layers in enumerate(blocks):
        _at_least(f"{name}[{index}]", layers, 0)


def _nearest_multiple(value: int, of: int) -> int:
    return max(of, round(value / of) * of)

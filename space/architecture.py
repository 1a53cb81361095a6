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
from typing import Any

import yaml

from space.kinds.stage import Activation, AttentionKind, Projection
from space.kinds.table import BLOCK_OPTIONS, OWN_OPTIONS
from space.levels import Level, Middle, at_least
from space.shared.plain import InputError, check_choices, from_plain, to_plain
from space.shared.strict_yaml import read_yaml

SCHEMA_VERSION = 1
SIZE_EMBEDDING_WIDTH = 256  # SDXL embeds each of its size numbers into so many sines and cosines


@dataclass(frozen=True)
class Architecture:
    """A UNet that predicts noise, velocity or the clean latent from a noisy latent, a time and a text.

    Widths are in channels, `latent_size` in latent pixels (64 for 512 px images at f = 8), `context_*`
    describe the text features (77 x 768 for CLIP ViT-L/14). Exactly one of `head_width` (channels a
    head) and `heads` (heads per layer) is set. `pooled_width` and `size_embeddings` are SDXL's added
    conditioning: a pooled text vector, and so many numbers embedded by 256 sines and cosines each.
    `condition_channels` enter beside the noisy latents (inpainting: 5, instructions for an image: 4);
    `guidance_width` is that of an embedded guidance scale, which joins the time (LCM).

    What the paper leaves open is stated in docs/architecture.md, with the counts that the choices give.
    """

    levels: tuple[Level, ...]
    middle: Middle | None = None
    separable_expansion: int = 4
    separable_kernel: int = 3
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
    condition_channels: int = 0
    guidance_width: int = 0
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
            data = read_yaml(text)
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
        """Short YAML: one line per level, fields at their default left out. Loads back equal."""

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
        simple, default = self.simplified(), dict[str, Any]()
        if not self.self_attention_layers and not self.cross_attention_layers:
            default |= {"head_width": 64, "heads": None}
        if not self.cross_attention_layers:
            default |= {"context_length": 77, "context_width": 768}
        return replace(simple, **default) if default else simple

    def simplified(self) -> Architecture:
        """The same, but for what is fixed around a network: where no layer attends, its heads, which a proxy
        divides, and the text features, which an encoder gives all the same, stay as they are."""
        levels = tuple(
            level if level.layers else replace(level, self_attention=False, cross_attention=False)
            for level in self.levels
        )
        middle = self.middle
        if middle is not None and not middle.layers:
            middle = replace(middle, self_attention=False, cross_attention=False)
        stacks: list[Level | Middle] = [*levels, *([middle] if middle else [])]
        of_blocks = {option for stack in stacks for option in OWN_OPTIONS[stack.conv]}
        default: dict[str, Any] = {
            name: Architecture.__dataclass_fields__[name].default
            for name, used in {
                **{name: name in of_blocks for name in BLOCK_OPTIONS},
                "feed_forward_ratio": any(stack.layers for stack in stacks),
                "activation": any(stack.layers for stack in stacks),
                "stack_projection": any(stack.layers for stack in stacks),
                "shared_key_value": any(stack.self_attention for stack in stacks),
                "attention": any(stack.self_attention or stack.cross_attention for stack in stacks),
            }.items()
            if not used
        }
        return replace(self, levels=levels, middle=middle, **default)

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits; equal for two descriptions of one network.

        Fields at their default don't enter, so an id survives fields added later.
        """
        around, levels = self.identity_parts()
        return composed_id(around, levels)

    def identity_parts(self) -> tuple[str, list[str]]:
        """What the id is made of: the text around the levels, "@" in their place, and one text a level."""
        plain = self.canonical().to_plain()
        levels = [compact(level) for level in plain["levels"]]
        return compact(plain | {"levels": ["@"]}).replace('"@"', "@"), levels

    # ------------------------------------------------------------------ derived

    def head_count(self, channels: int) -> int:
        """Attention heads of a layer that is `channels` wide."""
        return head_count(channels, self.heads, self.head_width)

    def size_at(self, level: int) -> int:
        """Height and width, in latent pixels, of the feature map at a level (0 is the outermost)."""
        return self.latent_size >> level

    @property
    def input_channels(self) -> int:
        """Of the first convolution: the noisy latents, and what enters beside them."""
        return self.latent_channels + self.condition_channels

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
        check_choices(self)
        for name in ("separable_expansion", "separable_kernel", "feed_forward_ratio", "norm_groups"):
            at_least(name, getattr(self, name), 1)
        if self.separable_kernel % 2 == 0:
            raise InputError(
                f"separable_kernel: {self.separable_kernel} is even; allowed: odd (as many pixels on either "
                f"side); nearest: {self.separable_kernel - 1}, {self.separable_kernel + 1}"
            )
        for name in ("time_width", "latent_channels", "latent_size", "context_length", "context_width"):
            at_least(name, getattr(self, name), 1)
        for name in ("pooled_width", "size_embeddings", "condition_channels", "guidance_width"):
            at_least(name, getattr(self, name), 0)
        self._check_heads()
        deepest = 1 << (len(self.levels) - 1)
        if self.latent_size % deepest:
            raise InputError(
                f"latent_size: {self.latent_size} cannot be halved {len(self.levels) - 1} times; allowed: "
                f"multiples of {deepest}, the nearest is {nearest_multiple(self.latent_size, deepest)}"
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
                    f"{self.norm_groups}; nearest: {nearest_multiple(level.channels, self.norm_groups)}"
                )

    def _check_heads(self) -> None:
        if (self.head_width is None) == (self.heads is None):
            raise InputError(
                f"head_width: {self.head_width} beside heads: {self.heads}; allowed: exactly one of the two "
                "(set the other to null)"
            )
        name = "head_width" if self.heads is None else "heads"
        divisor = getattr(self, name)
        at_least(name, divisor, 1)
        widths = [(f"levels[{index}]", level, level.channels) for index, level in enumerate(self.levels)]
        stacks: list[tuple[str, Level | Middle, int]] = list(widths)
        if self.middle is not None:
            stacks.append(("middle", self.middle, self.levels[-1].channels))
        for where, stack, channels in stacks:
            attends = stack.layers and (stack.self_attention or stack.cross_attention)
            if attends and channels % divisor:
                raise InputError(
                    f"{where}.channels: {channels} does not divide into {name} = {divisor}; "
                    f"nearest: {nearest_multiple(channels, divisor)}"
                )


def head_count(channels: int, heads: int | None, head_width: int | None) -> int:
    """Attention heads of a layer that is `channels` wide, where one of the two is set."""
    return heads if heads is not None else channels // (head_width or channels)


def composed_id(around: str, levels: Iterable[str]) -> str:
    """The id of the network that has these `identity_parts`."""
    return hashlib.sha256(around.replace("@", ",".join(levels)).encode()).hexdigest()[:12]


def compact(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def nearest_multiple(value: int, of: int) -> int:
    return max(of, round(value / of) * of)

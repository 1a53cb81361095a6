"""Ranges -> suggestions -> `Architecture`: what a search may choose, sampled from anything that suggests.

The encoding has a fixed dimension: every choice is sampled for every candidate, and inactive ones (where
attention stands in a level without layers) are sampled and ignored. Conditional parameters would leave
TPE's joint model. A choice with one value left is pinned and not sampled.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from space.architecture import Architecture
from space.kinds.stage import Activation, AttentionKind, ConvKind
from space.levels import Level
from space.search_space import SearchSpace
from space.shared.plain import InputError


@dataclass(frozen=True)
class LevelRanges:
    """What one level may be. `blocks` counts conv blocks on the way down (one more on the way up);
    `layers_down` and `layers_up` are transformer layers after each of them."""

    channels: tuple[int, ...]
    conv: tuple[ConvKind, ...] = ("full",)
    blocks: tuple[int, ...] = (1,)
    layers_down: tuple[int, ...] = (0,)
    layers_up: tuple[int, ...] = (0,)
    self_attention: tuple[bool, ...] = (False,)
    cross_attention: tuple[bool, ...] = (False,)


@dataclass(frozen=True)
class Space(SearchSpace[Architecture]):
    """The ranges of a search; `levels` from the outermost in, under any names that sort that way.

    Fields of `Architecture` that are not searched stand at `base`.
    """

    levels: dict[str, LevelRanges]
    separable_expansion: tuple[int, ...] = (4,)
    feed_forward_ratio: tuple[int, ...] = (3,)
    shared_key_value: tuple[bool, ...] = (True,)
    activation: tuple[Activation, ...] = ("swish",)
    attention: tuple[AttentionKind, ...] = ("softmax",)
    separable_kernel: tuple[int, ...] = (3,)
    base: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.check_values()
        _ = self.first  # checks `base`

    @property
    def level_names(self) -> list[str]:
        return list(self.levels)

    @cached_property
    def all_choices(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        of_levels = [
            (f"{key}.{name}", getattr(self.levels[key], name))
            for key in sorted(self.levels)
            for name in LevelRanges.__dataclass_fields__
        ]
        return (*of_levels, *((name, getattr(self, name)) for name in _GLOBAL))

    def architecture(self, chosen: Mapping[str, Any]) -> Architecture:
        """The architecture of a full set of choices, of which ignored ones leave no trace; `base` stays.

        Raises:
            InputError: where `base` or a range makes an impossible architecture.
        """
        levels = []
        for key in sorted(self.levels):
            picked = {name: chosen[f"{key}.{name}"] for name in LevelRanges.__dataclass_fields__}
            blocks = picked.pop("blocks")
            down, up = picked.pop("layers_down"), picked.pop("layers_up")
            levels.append(Level(down=(down,) * blocks, up=(up,) * (blocks + 1), **picked))
        plain = dict(self.base) | {name: chosen[name] for name in _GLOBAL} | {"levels": tuple(levels)}
        return Architecture.from_plain(plain).simplified()

    def encode(self, architecture: Architecture) -> dict[str, Any]:
        keys = sorted(self.levels)
        if len(architecture.levels) != len(keys):
            raise InputError(f"{len(architecture.levels)} levels; the space has {len(keys)}")
        target = architecture.canonical()
        chosen: dict[str, Any] = {}
        for key, level in zip(keys, target.levels, strict=True):
            ranges = self.levels[key]
            if len(set(level.down)) > 1 or len(set(level.up)) > 1:
                raise InputError(
                    f"{key}: layers differ from block to block; the space has one number per side"
                )
            has = {
                "channels": level.channels,
                "conv": level.conv,
                "blocks": len(level.down),
                "layers_down": level.down[0],
                "layers_up": level.up[0],
                "self_attention": level.self_attention if level.layers else ranges.self_attention[0],
                "cross_attention": level.cross_attention if level.layers else ranges.cross_attention[0],
            }
            chosen |= {f"{key}.{name}": value for name, value in has.items()}
        chosen |= {name: getattr(target, name) for name in _GLOBAL}
        for name, values in self.choices():
            if chosen[name] not in values:
                other = chosen | {name: values[0]}
                if name in _GLOBAL and self._makes(target, other):
                    chosen[name] = values[0]  # inactive here
                    continue
                raise InputError(f"{name}: {chosen[name]} is not in the space; allowed: {list(values)}")
        if not self._makes(target, chosen):
            raise InputError(
                "differs from the space in what is not searched (head width, latent, middle, ...)"
            )
        return {name: chosen[name] for name in self.free()}

    def _makes(self, target: Architecture, chosen: Mapping[str, Any]) -> bool:
        """Whether a full set of choices makes this network, which is canonical."""
        made = self.architecture(chosen)
        return made == target or made.canonical() == target

    def ignored(self, architecture: Architecture) -> set[str]:
        target = architecture.canonical()
        without_layers = [
            f"{key}.{name}"
            for key, level in zip(sorted(self.levels), target.levels, strict=True)
            if not level.layers
            for name in ("self_attention", "cross_attention")
        ]
        other = {
            name: next((value for value in getattr(self, name) if value != getattr(target, name)), None)
            for name in _GLOBAL
        }
        changed = replace(target, **{name: value for name, value in other.items() if value is not None})
        changed = changed.canonical()  # which puts back what has nothing to act on
        unused = [name for name in _GLOBAL if getattr(changed, name) == getattr(target, name)]
        return {*without_layers, *unused} & self.free().keys()


_GLOBAL = tuple(name for name in Space.__dataclass_fields__ if name not in ("levels", "base"))


class UniformSuggestions:
    """Suggests uniformly at random: candidates without Optuna, reproducible from a seed."""

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator
        self.params: dict[str, Any] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        self.params[name] = value = self.generator.randrange(low, high + 1, step)
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.params[name] = value = self.generator.choice(list(choices))
        return value

"""Ranges -> suggestions -> `Architecture`: what a search may choose, sampled from anything that suggests.

The encoding has a fixed dimension: every choice is sampled for every candidate, and inactive ones (where
attention stands in a level without layers) are sampled and ignored. Conditional parameters would leave
TPE's joint model. A choice with one value left is pinned and not sampled.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any, Protocol

from space.architecture import Architecture
from space.kinds.stage import Activation, AttentionKind, ConvKind
from space.levels import Level
from space.shared.plain import InputError


class Suggests(Protocol):
    """The two methods of an Optuna trial that are used here."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


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
class Space:
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
        for name, values in self.choices():
            where = f"levels.{name}" if "." in name else name
            if not values:
                raise InputError(f"{where}: no value left to choose; allowed: one value or more")
            if len(set(values)) != len(values):
                raise InputError(f"{where}: {list(values)} holds a value twice; allowed: each value once")
        _ = self.first  # checks `base`

    def check_order(self) -> None:
        """That levels stand as their names sort, or are numbered: of `outer` and `inner` the inner one would
        be the outermost, unseen. Not asked of recorded spaces, which stay what they were.

        Raises:
            InputError: with the order that the names have.
        """
        names, ordered = list(self.levels), sorted(self.levels)
        numbers = [re.fullmatch(r"(.*?)(\d+)", name) for name in ordered]
        stems = {number and number[1] for number in numbers}
        numbered = len(stems) == 1 and None not in stems
        rising = [int(number[2]) for number in numbers if number] if numbered else []
        if rising != sorted(rising) or (not numbered and names != ordered):
            raise InputError(
                f"levels: {', '.join(names)} go by their names, from the outermost in: {', '.join(ordered)}; "
                "allowed: names that sort as they stand, such as level_1, level_2"
            )

    def choices(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every choice by its name ("level_3.channels") with its values, in a fixed order."""
        return iter(self._choices)

    @cached_property
    def _choices(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """Kept: a sampler looks at them for every network of every pool."""
        of_levels = [
            (f"{key}.{name}", getattr(self.levels[key], name))
            for key in sorted(self.levels)
            for name in LevelRanges.__dataclass_fields__
        ]
        return (*of_levels, *((name, getattr(self, name)) for name in _GLOBAL))

    @cached_property
    def _steps(self) -> dict[str, int | None]:
        return {name: step_of(values) for name, values in self._choices}

    @cached_property
    def first(self) -> Architecture:
        """The architecture of every choice's first value."""
        return self.architecture({name: values[0] for name, values in self.choices()})

    def free(self) -> dict[str, tuple[Any, ...]]:
        """The choices that are not pinned to one value."""
        return {name: values for name, values in self.choices() if len(values) > 1}

    @property
    def encodings(self) -> int:
        """How many different suggestions there are (more than networks, for ignored choices)."""
        return prod(len(values) for _, values in self.choices())

    def sample(self, trial: Suggests) -> Architecture:
        """One architecture, from a trial's suggestions."""
        steps = self._steps
        return self.architecture(
            {name: _suggest(trial, name, values, steps[name]) for name, values in self._choices}
        )

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
        """The choices that encode this architecture; where a choice is ignored, its first value.

        Raises:
            InputError: if the architecture is not a point of the space, saying why.
        """
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

    def pinned(self) -> dict[str, Any]:
        """The choices with one value, which are not sampled."""
        return {name: values[0] for name, values in self.choices() if len(values) == 1}

    def ignored(self, architecture: Architecture) -> set[str]:
        """The inactive parameters at a point of the space: any value of theirs gives the same network."""
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

    def canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The free choices of the same network, the same for all descriptions of it: what is ignored stands
        where `encode` puts it."""
        return self.encode(self.architecture(self.pinned() | dict(params)))

    def smallest(self, cost_of: Callable[[Architecture], Any]) -> Architecture:
        """The cheapest corner by `cost_of(architecture)`, a number or several: each choice lowered in turn
        until none helps."""
        chosen = {name: values[0] for name, values in self.choices()}
        best = cost_of(self.architecture(chosen))
        improved = True
        while improved:
            improved = False
            for name, values in self.choices():
                for value in values:
                    cost = cost_of(self.architecture(chosen | {name: value}))
                    if cost < best:
                        chosen[name], best, improved = value, cost, True
        return self.architecture(chosen)


_GLOBAL = tuple(name for name in Space.__dataclass_fields__ if name not in ("levels", "base"))


def step_of(values: Sequence[Any]) -> int | None:
    """The step of evenly spaced, rising whole numbers; None for anything else."""
    if len(values) < 2 or any(type(value) is not int for value in values):
        return None
    steps = {after - before for before, after in pairwise(values)}
    return steps.pop() if len(steps) == 1 and min(steps) > 0 else None


def _suggest(trial: Suggests, name: str, values: tuple[Any, ...], step: int | None) -> Any:
    if len(values) == 1:
        return values[0]
    if step is not None:  # an order that a model of the space can use
        return trial.suggest_int(name, values[0], values[-1], step=step)
    return trial.suggest_categorical(name, values)


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

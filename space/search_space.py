"""What a search may choose, whatever is made of it: all that samplers ask of a space."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any, Generic, Protocol, TypeVar

from space.shared.plain import InputError

Network = TypeVar("Network")


class Suggests(Protocol):
    """The two methods of an Optuna trial that are used here."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class SearchSpace(ABC, Generic[Network]):
    """What a search may choose, and the network that a full set of choices makes: all that a sampler asks
    for, of architectures and of decoders."""

    @property
    @abstractmethod
    def level_names(self) -> list[str]:
        """As they stand."""

    @property
    @abstractmethod
    def all_choices(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """As `choices`; kept: a sampler looks at them for every network of every pool."""

    @abstractmethod
    def architecture(self, chosen: Mapping[str, Any]) -> Network:
        """The network of a full set of choices, of which ignored ones leave no trace.

        Raises:
            InputError: where a range makes an impossible one.
        """

    @abstractmethod
    def encode(self, architecture: Network) -> dict[str, Any]:
        """The free choices that encode this network; where a choice is ignored, its first value.

        Raises:
            InputError: if the network is not a point of the space, saying why.
        """

    @abstractmethod
    def ignored(self, architecture: Network) -> set[str]:
        """The inactive parameters at a point of the space: any value of theirs gives the same network."""

    def choices(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Every choice by its name ("level_3.channels") with its values, in a fixed order."""
        return iter(self.all_choices)

    @cached_property
    def _steps(self) -> dict[str, int | None]:
        return {name: step_of(values) for name, values in self.all_choices}

    @cached_property
    def first(self) -> Network:
        """The network of every choice's first value."""
        return self.architecture({name: values[0] for name, values in self.choices()})

    def free(self) -> dict[str, tuple[Any, ...]]:
        """The choices that are not pinned to one value."""
        return {name: values for name, values in self.choices() if len(values) > 1}

    def pinned(self) -> dict[str, Any]:
        """The choices with one value, which are not sampled."""
        return {name: values[0] for name, values in self.choices() if len(values) == 1}

    @property
    def encodings(self) -> int:
        """How many different suggestions there are (more than networks, for ignored choices)."""
        return prod(len(values) for _, values in self.choices())

    def sample(self, trial: Suggests) -> Network:
        """One network, from a trial's suggestions."""
        steps = self._steps
        return self.architecture(
            {name: _suggest(trial, name, values, steps[name]) for name, values in self.all_choices}
        )

    def canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The free choices of the same network, the same for all descriptions of it: what is ignored stands
        where `encode` puts it."""
        return self.encode(self.architecture(self.pinned() | dict(params)))

    def smallest(self, cost_of: Callable[[Network], Any]) -> Network:
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

    def check_values(self) -> None:
        """Raises InputError for a choice without a value, or with one twice."""
        for name, values in self.choices():
            where = f"levels.{name}" if "." in name else name
            if not values:
                raise InputError(f"{where}: no value left to choose; allowed: one value or more")
            if len(set(values)) != len(values):
                raise InputError(f"{where}: {list(values)} holds a value twice; allowed: each value once")

    def check_order(self) -> None:
        """That levels stand as their names sort, or are numbered: of `outer` and `inner` the inner one would
        be the outermost, unseen. Not asked of recorded spaces, which stay what they were.

        Raises:
            InputError: with the order that the names have.
        """
        names, ordered = self.level_names, sorted(self.level_names)
        numbers = [re.fullmatch(r"(.*?)(\d+)", name) for name in ordered]
        stems = {number and number[1] for number in numbers}
        numbered = len(stems) == 1 and None not in stems
        rising = [int(number[2]) for number in numbers if number] if numbered else []
        if rising != sorted(rising) or (not numbered and names != ordered):
            raise InputError(
                f"levels: {', '.join(names)} go by their names, from the outermost in: {', '.join(ordered)}; "
                "allowed: names that sort as they stand, such as level_1, level_2"
            )


AnySpace = SearchSpace[Any]


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

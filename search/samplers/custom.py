"""A custom sampler, watched over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search.custom import PUT_RIGHT, custom_instance, failed
from search.samplers.base import Observation, Proposal, Ranks, Sampler
from space.candidates import Candidate
from space.search_space import AnySpace
from space.shared.plain import InputError


@dataclass(frozen=True)
class CustomSamplerSettings:
    """`use` names a class of the user's, as in my_file.py:MyClass, made with `options` beside its seed."""

    name: Literal["custom"] = "custom"
    use: str | None = None
    options: dict[str, Any] | None = None

    def make(self, seed: int) -> Sampler:
        return custom_sampler(self.use, self.options, seed)


def custom_sampler(use: str | None, options: Mapping[str, Any] | None, seed: int) -> Sampler:
    """The user's sampler, watched over. Raises InputError if it cannot be made."""
    arguments = ("space", "past", "number")
    found = custom_instance("sampler", use, options, {"seed": seed}, lambda kind: "proposals", arguments)
    return (
        CustomRankingSampler(str(use), found) if isinstance(found, Ranks) else CustomSampler(str(use), found)
    )


class CustomSampler:
    """Hands on what the user's sampler proposes, if it is a point of the space."""

    def __init__(self, use: str, made: Any) -> None:
        self.use, self.made = use, made
        self.exhaustive = bool(getattr(made, "exhaustive", False))

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        try:
            for proposal in self.made.proposals(space, past, number):
                yield _checked(space, proposal)
        except Exception as error:
            raise failed(self.use, "proposals", error, PUT_RIGHT) from None


class CustomRankingSampler(CustomSampler):
    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
    ) -> list[int]:
        try:
            order = [int(place) for place in self.made.rank(space, candidates, past, number)]
            if sorted(order) != list(range(len(candidates))):
                raise InputError(f"it returned {order}; allowed: each place of the candidates once")
        except Exception as error:
            raise failed(self.use, "rank", error, PUT_RIGHT) from None
        return order


def _checked(space: AnySpace, proposal: Any) -> Proposal:
    if not isinstance(proposal, Proposal):
        raise InputError(f"it yielded {proposal!r}; allowed: a Proposal, as Proposal.of(space, params) makes")
    again = Proposal.of(space, proposal.params, proposal.attributes)
    if again.architecture != proposal.architecture:
        raise InputError(f"it yielded params that do not encode its architecture: {proposal.params}")
    try:
        json.dumps(proposal.attributes, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"attributes: {proposal.attributes!r} cannot be recorded as JSON ({error})"
        ) from None
    return again

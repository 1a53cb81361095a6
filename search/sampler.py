"""Which candidate next: an endless stream of proposals for one trial, given what is known of the past.

A sampler holds no state. For trial `number` it is a function of the seed and the recorded past, so a
resumed search proposes what an uninterrupted one would have. The strategy takes the first proposal that
fits the budget and is new; the sampler never hears of the others, because a history full of infeasible
proposals drowns a model of quality.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from search.curves import Curve, curve_of
from search.ranking import Objectives, Point, point_of
from search.record import Trial
from space.architecture import Architecture
from space.choices import Space, UniformDraw
from space.plain import InputError, nearest

LEAST_MODELLED, MOST_MODELLED = 20, 500


@dataclass(frozen=True)
class Proposal:
    """Choices, the architecture that they draw, and what the sampler wants to find beside them later."""

    params: dict[str, Any]
    architecture: Architecture
    attributes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, space: Space, params: Mapping[str, Any], attributes: Mapping[str, Any] | None = None
    ) -> Proposal:
        """The proposal of these choices, one for each of `space.free()`.

        Raises:
            InputError: a choice that is missing, not one of the space, or has a value that is not allowed.
        """
        free = space.free()
        for name in params:
            if name not in free:
                raise InputError(f"{name}: no free choice of this space; {nearest(name, free)}")
        chosen = {}
        for name, values in free.items():
            if name not in params:
                raise InputError(f"{name}: missing; allowed: {list(values)}")
            if params[name] not in values:
                raise InputError(f"{name}: {params[name]!r} is not in the space; allowed: {list(values)}")
            chosen[name] = values[values.index(params[name])]  # plain, where numpy's number was given
        return cls(chosen, space.architecture(space.pinned() | chosen), dict(attributes or {}))


@dataclass(frozen=True)
class Observation:
    """A trial as a sampler sees it. `point` is None while it runs; `curve` holds its scores at every rung, as
    they were measured."""

    number: int
    params: dict[str, Any]
    point: Point | None
    attributes: dict[str, Any]
    curve: Curve = field(default_factory=Curve)


class Sampler(Protocol):
    """Called once for each trial that is not enqueued, with everything recorded so far.

    A sampler with an attribute `exhaustive` that is true goes through a space in an order of its own until it
    ends: all that it proposes is looked at, and nothing is shrunk into the budget.
    """

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        """Proposals for trial `number`, the most wanted first: without end, or until there are no more.

        Two calls with equal arguments give the same proposals, in any process. Choices that nothing acts on
        make no difference to what is proposed.
        """
        ...


@runtime_checkable
class Ranks(Protocol):
    """A sampler that can also say which of given networks it wants most: what replay asks of it."""

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        """Places of the candidates for trial `number`, the most wanted first; a function of its arguments."""
        ...


@dataclass(frozen=True)
class SamplerSettings:
    """Which sampler. `startup_trials` are drawn at random before TPE or GP model anything; `good_share` is
    the share of trials that TPE models as good; `population` is NSGA-II's; of a longer past,
    `modelled_trials` are modelled; a grid has at most `most_combinations`; `use` names a class of the
    user's own, made with `options`."""

    name: Literal["linear", "tpe", "nsga2", "gp", "random", "sobol", "grid", "own"] = "tpe"
    startup_trials: int = 4
    good_share: float = 0.3
    population: int = 6
    modelled_trials: int = 200
    most_combinations: int = 20_000
    use: str | None = None
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.startup_trials < 1:
            raise InputError(f"startup_trials: {self.startup_trials} is too few; allowed: 1 or more")
        if not 0 < self.good_share < 1:
            raise InputError(f"good_share: {self.good_share} is not a share; allowed: between 0 and 1")
        if self.population < 2:
            raise InputError(f"population: {self.population} is too few; allowed: 2 or more")
        if self.most_combinations < 1:
            raise InputError(f"most_combinations: {self.most_combinations} is too few; allowed: 1 or more")
        if not LEAST_MODELLED <= self.modelled_trials <= MOST_MODELLED:
            raise InputError(
                f"modelled_trials: {self.modelled_trials} is too few or too many; "
                f"allowed: {LEAST_MODELLED} to {MOST_MODELLED}"
            )


@dataclass(frozen=True)
class RandomSampler:
    """Uniform over the space, whatever came before."""

    seed: int

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        generator = random.Random(derived_seed(self.seed, "random sampler", number))
        while True:
            draw = UniformDraw(generator)
            architecture = space.draw(draw)
            yield Proposal(draw.params, architecture)

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        return random_order(candidates, self.seed, "random sampler", number)


def make_sampler(settings: SamplerSettings, seed: int) -> Sampler:
    """The sampler that the settings name; Optuna is imported only for those that are Optuna's."""
    if settings.name == "random":
        return RandomSampler(seed)
    if settings.name == "own":
        from search.own import own_sampler

        return own_sampler(settings.use, settings.options, seed)
    if settings.name == "linear":
        from search.samplers.linear_sampler import LinearSampler

        return LinearSampler(seed, settings.modelled_trials)
    if settings.name == "sobol":
        from search.samplers.sobol_sampler import SobolSampler

        return SobolSampler(seed)
    if settings.name == "grid":
        from search.samplers.grid_sampler import GridSampler

        return GridSampler(seed, settings.most_combinations)
    from search.samplers.optuna_sampler import ModelSampler, OptunaSampler

    return OptunaSampler(settings, seed) if settings.name == "nsga2" else ModelSampler(settings, seed)


def observations(
    trials: Sequence[Trial], objectives: Objectives, curves: Mapping[str, Curve] | None = None
) -> list[Observation]:
    """What a sampler may know of the trials: complete ones by their last scores, running ones without any;
    `curves` holds by key what is known of their curves already.

    A halted trial counts as no better, in either score, than the worst complete one: it was stopped for
    being behind, and its early score must not pass for a full one. Failed trials, and enqueued ones that
    are no points of the space, are left out.
    """
    points = {
        trial.key: point_of(trial, objectives) for trial in trials if trial.state in ("complete", "halted")
    }
    complete = [p for trial in trials if trial.state == "complete" and (p := points[trial.key]) is not None]
    worst_fid = max((point.fid for point in complete), default=-math.inf)
    worst_clip = min((point.clip for point in complete), default=math.inf)
    seen = []
    for trial in trials:
        if trial.params is None or trial.state == "failed":
            continue
        point = points.get(trial.key)
        if trial.state == "halted" and point is not None:
            point = Point(max(point.fid, worst_fid), min(point.clip, worst_clip))
        curve = (curves or {}).get(trial.key) or curve_of(trial, objectives)
        seen.append(Observation(trial.number, trial.params, point, trial.sampler_attributes, curve))
    return seen


def repaired(space: Space, proposal: Proposal, fits: Any, seed: int) -> Proposal | None:
    """The proposal shrunk until `fits(architecture)`: choices go, in random order, to what they are in the
    smallest architecture of the space. None if even the smallest does not fit."""
    from space.cost import price

    smallest = space.encode(space.smallest(lambda a: price(a).macs))
    params, names = dict(proposal.params), sorted(smallest)
    random.Random(seed).shuffle(names)
    for name in ["", *names]:
        if name:
            params[name] = smallest[name]
        architecture = space.draw(FixedDraw(params))
        if fits(architecture):
            return Proposal(params, architecture, proposal.attributes)
    return None


@dataclass(frozen=True)
class FixedDraw:
    """Suggests what is in `params`."""

    params: dict[str, Any]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.params[name]


def random_order(candidates: Sequence[Architecture], seed: int, purpose: str, number: int) -> list[int]:
    """Places of the candidates, shuffled by their ids: in whichever order they come, they end in the same."""
    places = {
        index: derived_seed(seed, f"{purpose} {architecture.id}", number)
        for index, architecture in enumerate(candidates)
    }
    return sorted(places, key=lambda index: places[index])


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """A seed of 32 bits for one purpose and number, unrelated to its neighbours'."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")

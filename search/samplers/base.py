"""Which candidate next: an endless stream of proposals for one trial, given what is known of the past.

A sampler holds no state. For trial `number` it is a function of the seed and the recorded past, so a
resumed search proposes what an uninterrupted one would have. The strategy takes the first proposal that
fits the budget and is new; the sampler never hears of the others, because a history full of infeasible
proposals drowns a model of quality.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from search.objectives import FID_AND_CLIP, Objectives
from search.runs.record import Trial
from search.runs.scores import curve_of
from search.statistics.curves import Curve
from search.statistics.pareto import Point
from space.candidates import Candidate
from space.search_space import AnySpace
from space.shared.plain import InputError, nearest
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class Proposal:
    """Choices, the architecture that they encode, and what the sampler wants to find beside them later."""

    params: dict[str, Any]
    architecture: Candidate
    attributes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, space: AnySpace, params: Mapping[str, Any], attributes: Mapping[str, Any] | None = None
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

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        """Proposals for trial `number`, the most wanted first: without end, or until there are no more.

        Two calls with equal arguments give the same proposals, in any process. Inactive parameters make no
        difference to what is proposed.
        """
        ...


@runtime_checkable
class Ranks(Protocol):
    """A sampler that can also say which of given networks it wants most: what replay asks of it."""

    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
    ) -> list[int]:
        """Places of the candidates for trial `number`, the most wanted first; a function of its arguments."""
        ...


@runtime_checkable
class ChecksSpace(Protocol):
    """A sampler that cannot bear every space: it is asked before a search starts."""

    def check(self, space: AnySpace) -> None:
        """Raises InputError, naming what is too much."""
        ...


class MakesSampler(Protocol):
    """The settings of a sampler: a dataclass in the sampler's own file, whose name chooses it."""

    @property
    def name(self) -> str: ...

    def make(self, seed: int) -> Sampler: ...


def observations(
    trials: Sequence[Trial], objectives: Objectives, curves: Mapping[str, Curve] | None = None
) -> list[Observation]:
    """What a sampler may know of the trials: complete ones by their last scores, running ones without any;
    `curves` holds by key what is known of their curves already.

    A stopped trial counts as no better, in any objective, than the worst complete one: it was stopped for
    being behind, and its early score must not pass for a full one. Failed trials, and enqueued ones that
    are no points of the space, are left out.
    """
    known = curves or {}
    curves = {trial.key: known.get(trial.key) or curve_of(trial, objectives) for trial in trials}
    ends = {trial.key: _end(trial, curves[trial.key]) for trial in trials}
    complete = [p for trial in trials if trial.state == "complete" and (p := ends[trial.key]) is not None]
    worst = [
        objective.worst(point.values[place] for point in complete) if complete else None
        for place, objective in enumerate(objectives)
    ]
    seen = []
    for trial in trials:
        if trial.params is None or trial.state == "failed":
            continue
        point = ends[trial.key]
        if trial.state == "halted" and point is not None:
            pairs = zip(objectives, point.values, worst, strict=True)
            values = tuple(own if least is None else each.worst((own, least)) for each, own, least in pairs)
            point = point if values == point.values else Point(values, objectives)
        seen.append(
            Observation(trial.number, trial.params, point, trial.sampler_attributes, curves[trial.key])
        )
    return seen


def _end(trial: Trial, curve: Curve) -> Point | None:
    """What a trial that has ended is judged by: the scores at its last rung; None while it runs, and where
    one is missing there."""
    ended = trial.state in ("complete", "halted") and curve.steps and curve.steps[-1] == trial.rungs[-1].step
    return curve.points[-1] if ended else None


def objectives_of_past(past: Sequence[Observation]) -> Objectives:
    """Those that its scores are of; the default where there are none yet, and nothing to be learnt."""
    return next((seen.point.objectives for seen in past if seen.point is not None), FID_AND_CLIP)


def random_order(candidates: Sequence[Candidate], seed: int, purpose: str, number: int) -> list[int]:
    """Places of the candidates, shuffled by their ids: in whichever order they come, they end in the same."""
    places = [_lot(architecture, seed, purpose, number) for architecture in candidates]
    return sorted(range(len(places)), key=lambda index: places[index])


def _lot(architecture: Candidate, seed: int, purpose: str, number: int) -> int:
    return numbered_seed(seed, f"{purpose} {architecture.id}", number)


def by_value(
    candidates: Sequence[Candidate],
    values_of: Callable[[list[Candidate]], Sequence[float] | None],
    seed: int,
    purpose: str,
    number: int,
) -> list[int]:
    """Places of the candidates, the highest value first, equals at random; all at random where there are no
    values."""
    order = random_order(candidates, seed, purpose, number)
    values = values_of([candidates[place] for place in order])
    if values is None:
        return order
    return [order[index] for index in sorted(range(len(order)), key=lambda index: -values[index])]


def pool_by_value(
    pool: Sequence[Proposal], values: Sequence[float], seed: int, purpose: str, number: int
) -> list[Proposal]:
    """The same of a pool, whose order is always the same: only equals need their ids, which take time."""
    count = Counter(values)

    def place(pair: tuple[Proposal, float]) -> tuple[float, int]:
        proposal, value = pair
        return -value, _lot(proposal.architecture, seed, purpose, number) if count[value] > 1 else 0

    return [proposal for proposal, _ in sorted(zip(pool, values, strict=True), key=place)]

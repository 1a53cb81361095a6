"""What each property of a network is worth, by a straight line through all trials; the most promising first.

The model: a trial's standing (search/samplers/standings.py), as a normal score, is a sum of one effect a
property and of noise. The effects are those of Bayes with a normal prior (ridge regression). With a dozen
trials and some thirty properties no more than that can be learnt, and every trial teaches it: one that was
stopped at the first rung too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log, log1p
from operator import itemgetter
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np

from search.samplers.base import Observation, Proposal, Sampler, random_order
from search.samplers.modelled import check_modelled, thinned, with_finite_scores
from search.samplers.standings import standings
from search.statistics.curves import Curve
from space.architecture import Architecture
from space.choices import Space, UniformSuggestions
from space.kinds.stage import Stage
from space.kinds.table import BLOCK_OPTIONS, CONV_BLOCKS
from space.prices.macs import price_of
from space.shared.seeds import numbered_seed
from space.stages import Placed, walk

POOL = 200  # random samples that are ranked at once: among them, and not beyond, the promising is looked for
OTHER_BLOCKS = [kind for kind in CONV_BLOCKS if kind != "full"]  # one that is none of them is full
EXPLAINED = 2.0  # variance of the effects together, where that of the noise is 1: the prior


@dataclass(frozen=True)
class LinearSettings:
    """Of a longer past `modelled_trials` are modelled."""

    name: Literal["linear"] = "linear"
    modelled_trials: int = 500

    def __post_init__(self) -> None:
        check_modelled(self.modelled_trials)

    def make(self, seed: int) -> Sampler:
        return LinearSampler(seed, self.modelled_trials)


class LinearSampler:
    """Proposes the network of a random pool that the model wants most, without chance on top: the
    pool is new for every trial, and what is known after a few trials is worth more than what could be tried
    out. Before two trials have scores its order is random."""

    def __init__(self, seed: int, modelled_trials: int) -> None:
        self.seed, self.modelled_trials = seed, modelled_trials
        self._known: dict[tuple[Any, ...], np.ndarray] = {}
        self._space: Space | None = None  # whose choices `_known` is of

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        chance = random.Random(numbered_seed(self.seed, "linear pool", number))
        while True:
            pool = []
            for _ in range(POOL):
                suggestions = UniformSuggestions(chance)
                pool.append(Proposal(suggestions.params, space.sample(suggestions)))
            wanted = self.rank(space, [proposal.architecture for proposal in pool], past, number)
            yield from (pool[place] for place in wanted)

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        """Places of the candidates, points of the space: the most promising first, equals at random."""
        order = random_order(candidates, self.seed, "random sampler", number)  # as uniform sampling has it
        value = self._promise(space, np.stack([properties(candidates[place]) for place in order]), past)
        return [order[index] for index in np.argsort(-value, kind="stable")]

    def _promise(self, space: Space, candidates: np.ndarray, past: Sequence[Observation]) -> np.ndarray:
        """(N, D) to (N,): the expected standing of each, in standard deviations over the trials; zeros where
        nothing is known."""
        rows, scores = self._taught(space, past)
        if len(rows) < 2:
            return np.zeros(len(candidates))
        everybody = np.concatenate([rows, candidates])
        centre, spread = everybody.mean(axis=0), everybody.std(axis=0)
        varied = spread > 1e-9
        rows, candidates = ((x - centre)[:, varied] / spread[varied] for x in (rows, candidates))
        penalty = rows.shape[1] / EXPLAINED
        inner = rows @ rows.T + penalty * np.eye(len(rows))  # as many equations as trials, not as columns
        effects = rows.T @ np.linalg.solve(inner, scores - scores.mean())
        promise: np.ndarray = candidates @ effects
        return promise.round(9)  # what is equal but for rounding is equal

    def _taught(self, space: Space, past: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
        """Properties (M, D) and standings as normal scores (M,) of the trials that have any."""
        known = thinned(with_finite_scores(past), self.modelled_trials)
        rows, scores = [], []
        for seen, place in zip(known, standings([curve_of_observation(seen) for seen in known]), strict=True):
            if place is not None:
                rows.append(self._properties(space, seen.params))
                scores.append(NormalDist().inv_cdf(place))
        return np.array(rows), np.array(scores)

    def _properties(self, space: Space, params: dict[str, Any]) -> np.ndarray:
        """Those of a trial's network, kept from proposal to proposal."""
        if space is not self._space:
            self._space, self._known = space, {}
        key = tuple(params.items())
        if key not in self._known:
            self._known[key] = properties(space.architecture(space.pinned() | params))
        return self._known[key]


def properties(architecture: Architecture) -> np.ndarray:
    """(D,) what may make a network good or bad, of the whole and then of each level: sizes and counts as
    logarithms, kinds as 0 or 1. Inactive parameters leave no trace."""
    placed = list(walk(architecture))
    cost, levels = price_of(stage for stage, _, _ in placed), _levels(placed, len(architecture.levels))
    found = [
        log(cost.parameters),
        log(cost.macs),
        log1p(sum(len(side.layers) for level in levels for side in level)),
        log1p(architecture.self_attention_layers),
        log1p(architecture.cross_attention_layers),
        architecture.cross_attention_layers > 0,
        sum(bool(down.cross_attending or up.cross_attending) for down, up in levels),
        *(sum(up.conv == kind for _, up in levels) for kind in OTHER_BLOCKS),
        *(getattr(architecture, name) for name in BLOCK_OPTIONS),
        architecture.feed_forward_ratio,
        architecture.shared_key_value,
        architecture.activation == "gelu",
        architecture.attention == "relu",
    ]
    for down, up in levels:
        layers = (*down.layers, *up.layers)
        found += [
            log(up.channels),
            up.blocks,
            *(up.conv == kind for kind in OTHER_BLOCKS),
            any(layer.options.self_attention for layer in layers),
            any(layer.options.cross_attention for layer in layers),
        ]
        for side in (down, up):
            found += [log1p(len(side.layers)), log1p(side.cross_attending), side.cross_attending > 0]
    return np.array(found, dtype=np.float64)


class _Side(NamedTuple):
    """A level's way down or up, as its stages have it."""

    conv: str
    channels: int
    blocks: int
    layers: tuple[Stage, ...]
    cross_attending: int


def _levels(placed: Sequence[Placed], count: int) -> list[tuple[_Side, _Side]]:
    """The (way down, way up) of each level, outermost first."""
    sides = {where: _side([stage for stage, _, _ in part]) for where, part in groupby(placed, itemgetter(1))}
    numbers = range(1, count + 1)
    return [(sides[f"down-{number}"], sides[f"up-{number}"]) for number in numbers]


def _side(part: Sequence[Stage]) -> _Side:
    layers = tuple([stage for stage in part if stage.kind == "transformer"])
    attending = sum([layer.options.cross_attention for layer in layers])
    blocks = sum([stage.kind in CONV_BLOCKS for stage in part])
    return _Side(part[0].kind, part[0].outputs, blocks, layers, attending)


def curve_of_observation(seen: Observation) -> Curve:
    """Its rungs; of a trial that is known by its end alone, that."""
    return seen.curve if seen.curve.steps or seen.point is None else Curve((0,), (seen.point,))

"""What each choice is worth, by a straight line through all trials so far; the most promising network first.

The model: a trial's standing (search/samplers/standings.py), as a normal score, is a sum of one effect a
choice and of noise. The effects are those of Bayes with a normal prior (ridge regression). With a dozen
trials and some thirty columns no more than that can be learnt, and every trial teaches it: one that was
halted at the first rung too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from search.curves import Curve
from search.sampler import Observation, Proposal, derived_seed, random_order
from search.samplers.coordinates import Coordinates
from search.samplers.modelled import thinned, with_finite_scores
from search.samplers.standings import standings
from space.architecture import Architecture
from space.choices import Space, UniformDraw
from space.plain import InputError

POOL = 200  # random draws that are ranked at once: among them, and not beyond, the promising is looked for
EXPLAINED = 2.0  # variance of the choices' effects together, where that of the noise is 1: the prior


class LinearSampler:
    """Proposes the network of a random pool that the model wants most, without a draw of chance on top: the
    pool is new for every trial, and what is known after a few trials is worth more than what could be tried
    out. Before two trials have scores its order is random."""

    def __init__(self, seed: int, modelled_trials: int) -> None:
        self.seed, self.modelled_trials = seed, modelled_trials
        self._coordinates: tuple[Space, Coordinates] | None = None
        self._known: dict[str, np.ndarray | None] = {}

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        chance = random.Random(derived_seed(self.seed, "linear pool", number))
        while True:
            pool = []
            for _ in range(POOL):
                draw = UniformDraw(chance)
                pool.append(Proposal(draw.params, space.draw(draw)))
            wanted = self.rank(space, [proposal.architecture for proposal in pool], past, number)
            yield from (pool[place] for place in wanted)

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        """Places of the candidates, the most promising first, equals at random. Candidates that are no points
        of the space come last."""
        order = random_order(candidates, self.seed, "linear", number)
        columns = {place: self._columns(space, candidates[place]) for place in order}
        points = [(place, found) for place in order if (found := columns[place]) is not None]
        if points:
            value = self._promise(space, np.stack([found for _, found in points]), past)
            points = [points[index] for index in np.argsort(-value, kind="stable")]
        return [place for place, _ in points] + [place for place in order if columns[place] is None]

    def _promise(self, space: Space, candidates: np.ndarray, past: Sequence[Observation]) -> np.ndarray:
        """(N, D) to (N,): the expected standing of each, in standard deviations over the trials; zeros where
        nothing is known."""
        rows, scores = self._taught(space, past)
        if len(rows) < 2:
            return np.zeros(len(candidates))
        everybody = np.concatenate([rows, candidates])
        centre, spread = everybody.mean(axis=0), everybody.std(axis=0)
        varied = spread > 0
        rows, candidates = ((x - centre)[:, varied] / spread[varied] for x in (rows, candidates))
        penalty = rows.shape[1] / EXPLAINED
        inner = rows @ rows.T + penalty * np.eye(len(rows))  # as many equations as trials, not as columns
        effects = rows.T @ np.linalg.solve(inner, scores - scores.mean())
        promise: np.ndarray = candidates @ effects
        return promise.round(9)  # what is equal but for rounding is equal

    def _taught(self, space: Space, past: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
        """Columns (M, D) and standings as normal scores (M,) of the trials that have any."""
        known = thinned(with_finite_scores(past), self.modelled_trials)
        rows, scores = [], []
        for seen, place in zip(known, standings([curve_of(seen) for seen in known]), strict=True):
            if place is not None:
                row = self._columns(space, space.architecture(space.pinned() | seen.params))
                assert row is not None  # it was drawn from this space
                rows.append(row)
                scores.append(NormalDist().inv_cdf(place))
        return np.array(rows), np.array(scores)

    def _columns(self, space: Space, architecture: Architecture) -> np.ndarray | None:
        """The network as a vector, what nothing acts on at its first value; None if it is no point of the
        space."""
        if self._coordinates is None or self._coordinates[0] is not space:
            self._coordinates, self._known = (space, Coordinates(space)), {}
        if architecture.id not in self._known:
            try:
                found: Any = self._coordinates[1](space.encode(architecture))
            except InputError:
                found = None
            self._known[architecture.id] = found
        return self._known[architecture.id]


def curve_of(seen: Observation) -> Curve:
    """Its rungs; of a trial that is known by its end alone, that."""
    return seen.curve if seen.curve.steps or seen.point is None else Curve((0,), (seen.point,))

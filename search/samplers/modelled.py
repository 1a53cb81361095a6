"""What of the past a sampler models: finite scores, few enough trials, no inactive parameters.

All of it is a function of the arguments alone, so that a resumed search models the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from search.samplers.base import Observation
from search.statistics.pareto import fronts
from space.candidates import Candidate
from space.choices import UniformSuggestions
from space.search_space import AnySpace
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

LEAST_MODELLED, MOST_MODELLED = 20, 500


def check_modelled(modelled_trials: int) -> None:
    """Raises InputError for a number of modelled trials that says nothing, or takes too long."""
    if not LEAST_MODELLED <= modelled_trials <= MOST_MODELLED:
        raise InputError(
            f"modelled_trials: {modelled_trials} is too few or too many; "
            f"allowed: {LEAST_MODELLED} to {MOST_MODELLED}"
        )


def check_startup(startup_trials: int) -> None:
    if startup_trials < 1:
        raise InputError(f"startup_trials: {startup_trials} is too few; allowed: 1 or more")


def with_finite_scores(past: Sequence[Observation]) -> list[Observation]:
    """Without trials whose scores are not finite numbers: something broke there."""
    return [seen for seen in past if seen.point is None or all(map(math.isfinite, seen.point.values))]


def thinned(past: Sequence[Observation], most: int) -> list[Observation]:
    """At most `most` scored trials, in their order: half of them the best by non-dominated front (of one
    front the newer), the others the newest of the rest. Running trials are kept beside them."""
    scored = [index for index, seen in enumerate(past) if seen.point is not None]
    if len(scored) <= most:
        return list(past)
    ranks = dict(zip(scored, fronts([p for seen in past if (p := seen.point) is not None]), strict=True))
    best = sorted(scored, key=lambda index: (ranks[index], -index))[: most // 2]
    rest = sorted(set(scored).difference(best))
    kept = {*best, *rest[len(rest) - (most - len(best)) :]}
    return [seen for index, seen in enumerate(past) if seen.point is None or index in kept]


class Settled:
    """Past choices in a form that is the same for all descriptions of one network.

    Inactive parameters stand for nothing, and are sampled anew from the network's id. Sampled and not
    put at a fixed value, they teach a model of the space neither way.
    """

    def __init__(self, space: AnySpace) -> None:
        self.space, self._pinned, self._free = space, space.pinned(), space.free()
        self._known: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._known_by_id: dict[str, dict[str, Any]] = {}

    def past(self, past: Sequence[Observation]) -> list[Observation]:
        return [replace(seen, params=self.params(seen.params)) for seen in past]

    def params(self, params: dict[str, Any]) -> dict[str, Any]:
        key = tuple(params[name] for name in self._free)
        if key not in self._known:
            self._known[key] = self._settle(params, self.space.architecture(self._pinned | params))
        return self._known[key]

    def of(self, architecture: Candidate) -> dict[str, Any]:
        """Raises InputError if the architecture is not a point of the space."""
        if architecture.id not in self._known_by_id:
            self._known_by_id[architecture.id] = self.params(self.space.encode(architecture))
        return self._known_by_id[architecture.id]

    def _settle(self, params: dict[str, Any], architecture: Candidate) -> dict[str, Any]:
        ignored = self.space.ignored(architecture)
        if not ignored:
            return params
        suggestions = UniformSuggestions(random.Random(numbered_seed(0, architecture.id, 0)))
        self.space.sample(suggestions)
        return {name: suggestions.params[name] if name in ignored else params[name] for name in self._free}

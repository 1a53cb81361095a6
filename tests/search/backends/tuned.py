"""What Tune is asked to run, and does not: searcher, scheduler and actor, for a test to drive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from search.backends.cluster import ClusterSettings


@dataclass(frozen=True)
class Asked:
    """The arguments of `tune.run`."""

    actor: Any
    searcher: Any
    scheduler: Any
    workers: int


def asked_of_tune(
    strategy: object,
    settings: object,
    cluster: ClusterSettings,
    announce: Callable[[str], None],
    nodes: list[dict[str, Any]],
) -> Asked:
    """By a search on a cluster of these nodes, in Ray's form."""
    from search.backends import ray_places, ray_tune

    asked: list[Asked] = []

    def run(actor: object, **given: Any) -> None:
        asked.append(Asked(actor, given["search_alg"], given["scheduler"], given["max_concurrent_trials"]))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ray_tune.tune, "run", run)
        patched.setattr(ray_places.ray, "nodes", lambda: nodes)
        ray_tune.run_on_ray(strategy, settings, cluster, announce)  # type: ignore[arg-type]
    return asked[0]

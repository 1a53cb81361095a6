"""How many workers a cluster of Ray's holds, and how many of them a trial gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import ray
from ray import tune

from search.backends.cluster import ClusterSettings
from search.formats import counted
from space.shared.plain import InputError

NODE_DEATH_SECONDS = 30.0  # in which Ray notices one


def placement(takes: Sequence[dict[str, float]]) -> tune.PlacementGroupFactory:
    """Of a trial's workers: on as few nodes as can be."""
    bundles = [{name.upper(): count for name, count in each.items()} for each in takes]  # as Ray calls them
    return tune.PlacementGroupFactory(bundles, strategy="PACK")


def trials_that_fit(cluster: ClusterSettings, announce: Callable[[str], None]) -> int:
    """How many trials the nodes hold at once; a cluster that grows on demand may hold none yet, if its
    workers are asked for by name.

    Raises:
        InputError: not one, and there will be no more nodes.
    """
    workers = workers_that_fit(cluster)
    trials = (cluster.workers or workers) // cluster.workers_per_trial
    if workers >= cluster.workers_per_trial:
        return trials
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (max([0, *(node.get(name, 0) for node in nodes)]) for name in ("CPU", "GPU"))
    said = (
        f"no worker fits: a node has up to {cpus:g} CPUs and {gpus:g} GPUs, a worker takes "
        f"{cluster.cpus_per_worker:g} and {cluster.gpus_per_worker:g}"
    )
    if workers:
        said = (
            f"no trial fits: it takes {cluster.workers_per_trial} workers (workers_per_trial), and "
            f"{workers} fit; allowed: at most {workers}"
        )
    if cluster.address is None or cluster.workers is None:
        raise InputError(f"cluster: {said}")
    announce(f"{said}; waiting for nodes")
    return trials


def workers_that_fit(cluster: ClusterSettings) -> int:
    return sum(_fitting(node["Resources"], cluster) for node in ray.nodes() if node["Alive"])


def _fitting(node: Mapping[str, float], cluster: ClusterSettings) -> int:
    fit = int(node.get("CPU", 0) // cluster.cpus_per_worker)
    if cluster.gpus_per_worker:
        fit = min(fit, int(node.get("GPU", 0) // cluster.gpus_per_worker))
    return fit


class Places:
    """How many workers each trial has: as many as it should, or what is left where nodes were lost.

    A cluster whose workers are named (`cluster.workers`) is waited for. Where a worker was lost, what is left
    is known only when Ray has noticed whether its node is.
    """

    def __init__(self, cluster: ClusterSettings, announce: Callable[[str], None]) -> None:
        self._cluster, self._say = cluster, announce
        self._held: dict[str, int] = {}
        self._known_at = 0.0

    def take(self, trial: str, name: str) -> int:
        """
        Raises:
            InputError: so few are left that no trial goes on.
        """
        self._held[trial] = self._to_take(name)
        return self._held[trial]

    def give_back(self, trial: str) -> None:
        self._held.pop(trial, None)

    def lost_one(self) -> None:
        if self._cluster.workers_per_trial > 1 and len(ray.nodes()) > 1:
            self._known_at = time.monotonic() + NODE_DEATH_SECONDS

    @property
    def are_known(self) -> bool:
        return time.monotonic() >= self._known_at

    def _to_take(self, name: str) -> int:
        cluster = self._cluster
        wanted, least = cluster.workers_per_trial, cluster.min_workers_per_trial
        if wanted == 1 or (cluster.workers is not None and cluster.address is not None):
            return wanted
        fit = min(workers_that_fit(cluster), cluster.workers or wanted * len(self._held) + wanted)
        left = fit - sum(self._held.values())
        if left >= wanted:
            return wanted
        if fit < least:
            raise InputError(
                f"cluster: {fit} workers are left, where a trial takes {least} or more "
                "(min_workers_per_trial); the same search, resumed, goes on with more"
            )
        taken = left if left >= least else min(fit, wanted)  # the others' are waited for
        if taken < wanted:
            self._say(
                f"{name}: by {counted(taken, 'worker')} instead of {wanted}: what is left of the cluster"
            )
        return taken

"""Where the workers are, and what Ray must be told before it is imported. Knows nothing of Ray itself."""

from __future__ import annotations

import math
import os
import secrets
from dataclasses import dataclass

from space.shared.cpus import available_cpus
from space.shared.plain import InputError
from training.distributed.base import check_shares
from training.distributed.ranks import Parallel
from training.settings import TrainingSettings

OWN_TOKEN = secrets.token_hex(16)


@dataclass(frozen=True)
class ClusterSettings:
    """Where the workers are. With `address` null a cluster is started on this machine, its dashboard on
    loopback only; otherwise (host:6379, ray://host:10001, auto) an existing one is used, and the run
    folder must be on storage that all its nodes share.

    `workers` null: one for each `cpus_per_worker` of the cluster's CPUs (or GPU, if they take one).
    `dashboard_port` null: Ray's own, or the next that is free.
    A trial takes `workers_per_trial` of them, which share each batch; `parallel`: each holds all weights
    (ddp), or a share (fsdp). Where nodes are lost it goes on with what is left, down to
    `min_workers_per_trial`.
    `max_worker_deaths` are those of one trial without new steps in between; those of whole nodes, which
    are no trial's doing, do not count.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    threads_per_worker: int = 1
    dashboard: bool = True
    dashboard_port: int | None = None
    object_store_mb: int = 128
    max_worker_deaths: int = 2
    workers_per_trial: int = 1
    min_workers_per_trial: int = 1
    parallel: Parallel = "ddp"

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers: {self.workers} is too few; allowed: 1 or more, or null")
        if not self.cpus_per_worker > 0:
            raise InputError(f"cpus_per_worker: {self.cpus_per_worker:g} is too few; allowed: more than 0")
        if self.threads_per_worker < 1:
            raise InputError(f"threads_per_worker: {self.threads_per_worker} is too few; allowed: 1 or more")
        for name in ("gpus_per_worker", "max_worker_deaths"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if self.dashboard_port is not None and not 1 <= self.dashboard_port <= 65535:
            raise InputError(
                f"dashboard_port: {self.dashboard_port} is no port; allowed: 1 to 65535, or null"
            )
        if not 1 <= self.min_workers_per_trial <= self.workers_per_trial:
            raise InputError(
                f"min_workers_per_trial: {self.min_workers_per_trial} beside workers_per_trial: "
                f"{self.workers_per_trial}; allowed: 1 to {max(1, self.workers_per_trial)}"
            )
        if self.workers is not None and self.workers < self.workers_per_trial:
            raise InputError(
                f"workers_per_trial: {self.workers_per_trial}, of workers: {self.workers}; allowed: at most "
                f"{self.workers}"
            )
        if self.workers_per_trial > 1 and 0 < self.gpus_per_worker < 1:
            raise InputError(
                f"gpus_per_worker: {self.gpus_per_worker:g} beside workers_per_trial: "
                f"{self.workers_per_trial}, which cannot share a GPU; allowed: 0 or 1; nearest: 1"
            )
        if self.object_store_mb < 75:  # Ray's own bound, below which it does not start
            raise InputError(f"object_store_mb: {self.object_store_mb} is too few; allowed: 75 or more")

    @property
    def cpus_here(self) -> int:
        """Of a cluster of our own: what its workers take, or else what this process may use."""
        return math.ceil(self.workers * self.cpus_per_worker) if self.workers else available_cpus()

    @property
    def workers_here(self) -> int:
        """As many as there would be on this machine, as far as its CPUs go."""
        return self.workers or max(1, int(available_cpus() // self.cpus_per_worker))

    @property
    def trials_here(self) -> int:
        """At once, on this machine."""
        return self.workers_here // self.workers_per_trial


def check_devices(cluster: ClusterSettings) -> None:
    """Raises InputError for devices of which a worker would not use all, and where not one trial fits here.
    (Not where settings are made: those of earlier runs are still read.)"""
    if cluster.address is None and cluster.trials_here < 1:
        raise InputError(
            f"cluster.workers_per_trial: {cluster.workers_per_trial}, where {cluster.workers_here} workers "
            f"of {cluster.cpus_per_worker:g} CPUs fit on this machine; allowed: at most "
            f"{cluster.workers_here}, or cluster.workers, which states how many there are"
        )
    if cluster.gpus_per_worker > 1:
        raise InputError(
            f"cluster.gpus_per_worker: {cluster.gpus_per_worker:g}, where a worker trains on one; allowed: 0 "
            "to 1 (below 1, trials share a GPU); nearest: 1"
        )


def check_several(
    cluster: ClusterSettings, backend: str, training: TrainingSettings, is_shared: bool
) -> None:
    """Raises InputError where trials cannot have several workers. `is_shared`: some train shared weights."""
    if cluster.workers_per_trial == 1:
        return
    where = f"cluster.workers_per_trial: {cluster.workers_per_trial}"
    if backend == "inline":
        raise InputError(f"{where} beside backend: inline, which is one process; allowed: 1, or backend=ray")
    batch_size = training.batch_size
    if cluster.workers_per_trial > batch_size:
        raise InputError(
            f"{where} share batches of {batch_size} images (training.batch_size); allowed: at most "
            f"{batch_size}"
        )
    if cluster.parallel == "fsdp":
        check_shares(training)
    if cluster.parallel == "fsdp" and is_shared:
        raise InputError(
            "cluster.parallel: fsdp beside a strategy that goes on with the weights of one network in "
            "another; allowed: ddp"
        )


def several_lines(cluster: ClusterSettings) -> list[str]:
    """For a plan, of trials of several workers."""
    if cluster.workers_per_trial == 1:
        return []
    return [
        f"{cluster.workers_per_trial} a trial ({cluster.parallel}), {cluster.trials_here} trials at a time; "
        f"steps and images are taken to be {cluster.workers_per_trial} times as fast as by one, and one "
        f"validates and scores while {cluster.workers_per_trial - 1} wait"
    ]


def set_ray_environment(cluster: ClusterSettings) -> None:
    """What Ray reads from the environment, and when it is imported, not later: so this comes first.

    A cluster of our own asks for a token, made here unless one is set; an existing one says itself.
    """
    if cluster.address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", OWN_TOKEN)
    elif os.environ.get("RAY_AUTH_TOKEN") == OWN_TOKEN:  # of an earlier search
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune prints nothing; the display is ours
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")  # Tune's own state is of no use to us
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # a worker's death is told in a line of ours
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")

"""The other workers of a trial as actors of Ray, in the placement group that the first one was started in."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch import distributed, set_num_threads

from search.peer import PeerWorker, whole_batches
from search.strategy import Job
from search.trial import TrialSettings
from search.worker import Peers
from training.devices import choose_device
from training.distributed.launch import LOOPBACK, LastWord, last_word_of, meet_on_loopback
from training.distributed.ranks import Parallel, RankGroup, join, leave
from training.failures import Diverged
from training.trainer import Trainer

ENDING_SECONDS = 30.0  # in which it shows how a worker ended that others have noticed to be gone
MEETING = timedelta(minutes=30)


class PeerActor:
    """One of them; Ray names its process after this class."""

    def __init__(self, settings: TrialSettings, threads: int) -> None:
        set_num_threads(threads)
        self._worker = PeerWorker(settings)
        self._ranks = RankGroup()
        self._store: distributed.TCPStore | None = None

    def ready(self) -> None:
        """Its data is loaded."""

    def join(self, address: str, port: int, rank: int, size: int, parallel: Parallel) -> None:
        if address == LOOPBACK:
            meet_on_loopback()
        self._store = store = distributed.TCPStore(address, port, is_master=False, timeout=MEETING)
        device = choose_device(self._worker.settings.training.device)
        self._ranks = join(device, parallel, store=store, rank=rank, size=size)

    def begin(self, job: Job, step: int, micro_batch: int | None) -> None:
        self._worker.begin(job, step, micro_batch, self._ranks)

    def generate(self, captions: Sequence[str], first: int, seed: int, batch_size: int) -> np.ndarray:
        return self._worker.generate(captions, first, seed, batch_size)

    def train_to(self, step: int) -> None:
        """What all raise alike the first one tells. After all else this process ends, so that nobody waits
        for it, and leaves the reason where it is looked for."""

        def work() -> None:
            try:
                self._worker.train_to(step)
            except Diverged:
                return

        word = last_word_of(work)
        if word.kind != "done":
            assert self._store is not None
            self._store.set(_place_of(self._ranks.rank), json.dumps(word))
            os._exit(1)


def _place_of(rank: int) -> str:
    return f"ended/{rank}"


class RayPeers(Peers):
    """Of this process, which is the first worker, and whose `ranks` they are.

    Raises:
        RayError: one died, or cannot load its data.
    """

    def __init__(
        self,
        settings: TrialSettings,
        *,
        size: int,
        threads: int,
        parallel: Parallel,
        resources: dict[str, float],
        is_local: bool,
    ) -> None:
        if is_local:
            meet_on_loopback()
        self.size = size
        address = LOOPBACK if is_local else get_node_ip_address()
        self._store = distributed.TCPStore(
            address, 0, is_master=True, wait_for_workers=False, timeout=MEETING
        )
        self._actors = [_started(rank, settings, threads, resources) for rank in range(1, size)]
        self._pending: Sequence[Any] = ()
        self._step: int | None = None
        ray.get([actor.ready.remote() for actor in self._actors])
        met = [
            actor.join.remote(address, self._store.port, rank, size, parallel)
            for rank, actor in enumerate(self._actors, 1)
        ]
        device = choose_device(settings.training.device)
        self.ranks = join(device, parallel, store=self._store, rank=0, size=size)
        ray.get(met)

    def begin(self, job: Job, step: int, micro_batch: int | None) -> None:
        ray.get([actor.begin.remote(job, step, micro_batch) for actor in self._actors])

    def train_to(self, step: int) -> None:
        if step != self._step:
            self._step = step
            self._pending = [actor.train_to.remote(step) for actor in self._actors]

    def wait(self) -> None:
        ray.get(list(self._pending))
        self._step = None

    def generate(
        self, trainer: Trainer, captions: Sequence[str], *, seed: int, batch_size: int
    ) -> np.ndarray:
        """By all, each its share."""
        own, *others = whole_batches(len(captions), batch_size, self.size)
        self._pending = [
            actor.generate.remote(captions[each.start : each.stop], each.start, seed, batch_size)
            for actor, each in zip(self._actors, others, strict=True)
        ]
        images = trainer.generate(captions[: own.stop], seed=seed, batch_size=batch_size)
        return np.concatenate([images, *ray.get(list(self._pending))])

    def end(self) -> None:
        """Whatever state they are in."""
        for actor in self._actors:
            ray.kill(actor)
        leave()

    def how_one_ended(self) -> tuple[int, LastWord]:
        """Its number, and its last word; of one that was killed, what Ray says."""
        ended = ray.wait(list(self._pending), timeout=ENDING_SECONDS)[0] if self._pending else []
        lost: tuple[int, LastWord] | None = None
        for rank, pending in enumerate(self._pending, 1):
            if pending not in ended and not ray.wait([pending], timeout=1)[0]:
                continue
            try:
                ray.get(pending)
            except RayTaskError as error:
                return rank, word_of_peer(error)
            except RayError as error:  # it is gone; by Ray's memory monitor, too
                if word := self._said(rank):
                    if word.kind != "left alone":
                        return rank, word
                else:
                    lost = rank, LastWord("killed", text=" ".join(str(error).split())[:1000])
        return lost or (0, LastWord("left alone", text="the connection to a worker broke"))

    def _said(self, rank: int) -> LastWord | None:
        place = _place_of(rank)
        return LastWord(*json.loads(self._store.get(place))) if self._store.check([place]) else None


def word_of_peer(error: RayTaskError) -> LastWord:
    """What it raised where nobody waited for it."""
    return LastWord("raised", type(error.cause).__name__, " ".join(str(error.cause).split())[:300])


def _started(rank: int, settings: TrialSettings, threads: int, resources: dict[str, float]) -> Any:
    group = get_current_placement_group()
    assert group is not None  # that Tune started the first worker in
    where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
    takes = {"num_cpus": resources["cpu"], "num_gpus": resources["gpu"]}
    return ray.remote(PeerActor).options(scheduling_strategy=where, **takes).remote(settings, threads)

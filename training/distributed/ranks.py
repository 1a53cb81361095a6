"""The workers of one training as each of them sees them: which it is, and what all agree on.

What crosses between them while gradients are summed on GPUs goes by a group of its own (gloo, on the host),
so that agreeing waits for no device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import distributed

from space.shared.plain import InputError
from space.shared.retries import StorageAway
from training.failures import Collapsed, Diverged

Made = TypeVar("Made")
Parallel = Literal["ddp", "fsdp"]
OF_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # as torchrun sets them
# The first worker may score images for hours while the others wait; who dies is noticed by other ways.
PATIENCE = timedelta(days=2)
RAISED_BY_ALL: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (Collapsed, Diverged, InputError, StorageAway)
}


class FirstFailed(RuntimeError):
    """The first worker raised what is nobody else's concern; it says itself what."""


class RankGroup:
    """One worker of `size`; by default the only one.

    Args:
        group: of processes, by which they agree.
        asks: whether this worker asks the others for something, such as to end.

    Attributes:
        parallel: ddp: each holds all weights; fsdp: its share of them.
        asked: whether any asked, in the step that was taken last.
    """

    def __init__(self, rank: int = 0, size: int = 1, group: Any = None, parallel: Parallel = "ddp") -> None:
        self.rank, self.size, self.parallel, self._group = rank, size, parallel, group
        self.asks: Callable[[], bool] = lambda: False
        self._asked = False

    @property
    def is_first(self) -> bool:
        """The one that writes, prints and scores."""
        return self.rank == 0

    @property
    def is_sharded(self) -> bool:
        return self.size > 1 and self.parallel == "fsdp"

    @property
    def asked(self) -> bool:
        return self.asks() if self.size == 1 else self._asked

    def total(self, value: float) -> float:
        """The sum over all workers, with the same bits on each; then `asked` is known, too."""
        if self.size == 1:
            return value
        both = torch.tensor([value, float(self.asks())], dtype=torch.float64)
        distributed.all_reduce(both, group=self._group)
        self._asked = bool(both[1] > 0)
        return float(both[0])

    def first(self, work: Callable[[], None]) -> None:
        """By the first worker, for whom the others wait; what it raises, all raise."""
        if self.size == 1:
            work()
            return
        error: Exception | None = None
        if self.is_first:
            try:
                work()
            except Exception as raised:
                error = raised
        told: list[Any] = [error and (type(error).__name__, str(error))]
        distributed.broadcast_object_list(told, src=0, group=self._group)
        if error is not None:
            raise error
        if told[0] is not None:
            kind, text = told[0]
            raise RAISED_BY_ALL.get(kind, FirstFailed)(text)

    def in_turn(self, make: Callable[[], Made]) -> Made:
        """What each makes for itself: first the first worker, which fills the caches that the others read."""
        made: list[Made] = []
        self.first(lambda: made.append(make()))
        return made[0] if made else make()

    def wait(self) -> None:
        """Until all workers are here."""
        if self.size > 1:
            distributed.barrier(group=self._group)

    def check_same(self, values: Mapping[str, object]) -> None:
        """Raises InputError where workers differ: each reads its data, states and settings itself."""
        if self.size == 1:
            return
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, dict(values), group=self._group)
        for name, value in found[0].items():
            for rank, theirs in enumerate(found):
                if theirs.get(name) != value:
                    raise InputError(
                        f"workers: number {rank} has another {name} ({theirs.get(name)}) than number 0 "
                        f"({value}); needed: the same files, states and settings on every machine"
                    )


# ---------------------------------------------------------------------- processes


def given_workers() -> int | None:
    """How many workers the environment says there are, as torchrun has it; None where it says nothing.

    Raises:
        InputError: it says a part of what is needed.
    """
    said = [name for name in OF_ENVIRONMENT if os.environ.get(name)]
    if "RANK" not in said or "WORLD_SIZE" not in said:
        return None
    if missing := [name for name in OF_ENVIRONMENT if name not in said]:
        raise InputError(f"{missing[0]}: not set beside RANK and WORLD_SIZE; needed: as torchrun sets it")
    return int(os.environ["WORLD_SIZE"])


def join(
    device: torch.device,
    parallel: Parallel = "ddp",
    *,
    store: distributed.Store | None = None,
    rank: int | None = None,
    size: int | None = None,
) -> RankGroup:
    """Meet the other workers, at a store or where the environment says; `leave` ends it.

    Raises:
        InputError: this worker's device is not there.
    """
    rank = int(os.environ["RANK"]) if rank is None else rank
    size = int(os.environ["WORLD_SIZE"]) if size is None else size
    if device.type == "cuda":
        _take_device(int(os.environ.get("LOCAL_RANK", 0)))
    if size == 1:
        return RankGroup(parallel=parallel)
    where: dict[str, Any] = {} if store is None else {"store": store, "rank": rank, "world_size": size}
    if device.type == "cuda":
        distributed.init_process_group("nccl", **where)
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE, **where)
    group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return RankGroup(rank, size, group, parallel)


def leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _take_device(local: int) -> None:
    if local >= torch.cuda.device_count():
        raise InputError(
            f"workers: number {local} of this machine finds {torch.cuda.device_count()} GPUs; allowed: at "
            "most one worker for each"
        )
    torch.cuda.set_device(local)

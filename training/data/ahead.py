"""Batches of later steps, made while a step is at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
DEPTH = 2  # batches ahead of the step


def ahead(
    make: Callable[[int], T], steps: Iterable[int], depth: int = DEPTH, *, on_one_core: bool = False
) -> Generator[T, None, None]:
    """`make(step)` of each step in its order, by one thread that is up to `depth` of them ahead.

    An error is raised where its step is due. The thread ends with the generator, which whoever leaves early
    has to close.

    Args:
        on_one_core: for steps on this CPU. Where two threads each spread their operations over all cores,
            both wait at every one of them.
    """
    pool = ThreadPoolExecutor(1, "batches", (lambda: torch.set_num_threads(1)) if on_one_core else None)
    pending: deque[Future[T]] = deque()
    try:
        for step in steps:
            pending.append(pool.submit(make, step))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        if on_one_core:
            torch.set_num_threads(torch.get_num_threads())  # else threads to come had one core, too

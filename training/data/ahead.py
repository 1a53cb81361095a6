"""Batches of later steps, made while a step is at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
DEPTH = 2  # batches ahead of the step


def ahead(make: Callable[[int], T], steps: Iterable[int], depth: int = DEPTH) -> Generator[T, None, None]:
    """`make(step)` of each step in its order, by one thread that is up to `depth` of them ahead.

    An error is raised where its step is due. The thread ends with the generator, which whoever leaves early
    has to close.
    """
    pool = ThreadPoolExecutor(1, "batches")
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

"""Batches are made ahead in their order; errors wait for their step; the thread ends."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
import torch

from training.data.ahead import ahead


def test_batches_come_in_order_from_another_thread() -> None:
    threads: set[int] = set()

    def make(step: int) -> int:
        threads.add(threading.get_ident())
        return step * step

    assert list(ahead(make, range(3, 9))) == [9, 16, 25, 36, 49, 64]
    assert len(threads) == 1 and threading.get_ident() not in threads
    assert list(ahead(make, range(0))) == []


def test_no_more_than_the_depth_is_made_ahead_of_the_step() -> None:
    made: list[int] = []
    third = threading.Event()

    def make(step: int) -> int:
        made.append(step)
        if step == 2:
            third.set()
        return step

    with closing(ahead(make, range(100), depth=2)) as batches:
        assert next(batches) == 0
        assert third.wait(280)
        assert made == [0, 1, 2]  # what is at work, and two more
        assert next(batches) == 1
    assert made in ([0, 1, 2], [0, 1, 2, 3])


def test_an_error_is_raised_where_its_step_is_due() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise OSError("away")
        return step

    batches, taken = ahead(make, range(5)), []
    with pytest.raises(OSError, match="away"):
        taken.extend(batches)
    assert taken == [0, 1]
    assert list(batches) == []


@pytest.mark.parametrize("leaving", [RuntimeError, KeyboardInterrupt])
def test_the_thread_has_ended_when_the_taker_leaves(leaving: type[BaseException]) -> None:
    threads: list[threading.Thread] = []

    def make(step: int) -> int:
        threads.append(threading.current_thread())
        return step

    with pytest.raises(leaving), closing(ahead(make, range(1000))) as batches:
        for batch in batches:
            if batch == 3:
                raise leaving
    assert not threads[0].is_alive() and len(threads) <= 7


def test_one_core_is_that_threads_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with closing(ahead(lambda step: torch.get_num_threads(), range(9), on_one_core=True)) as cores:
            assert next(cores) == 1 and torch.get_num_threads() == 3
        with closing(ahead(lambda step: torch.get_num_threads(), range(9))) as cores:
            assert next(cores) == 3  # a new thread
    finally:
        torch.set_num_threads(before)

"""Tasks over worker processes: every result once, errors as they were raised, and nobody left behind."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from multiprocessing import active_children

import pytest

from space.shared.plain import InputError
from space.shared.workers import in_workers

_prepared: list[tuple[int, int]] = []


def prepare(offset: int, number: int) -> None:
    _prepared.append((offset, number))


def cannot_begin(number: int) -> None:
    raise InputError("model: went away")


def added(task: int) -> tuple[int, int, int]:
    """The task with what its worker was prepared with."""
    ((offset, number),) = _prepared
    return task + offset, number, os.getpid()


def refused(task: int) -> int:
    raise InputError(f"{task}: damaged")


def ended(task: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_every_task_is_done_once_by_workers_that_were_prepared_once() -> None:
    results = list(in_workers(added, range(12), 2, partial(prepare, 100)))
    assert sorted(result for result, _, _ in results) == list(range(100, 112))
    numbers = {(number, process) for _, number, process in results}
    assert {number for number, _ in numbers} <= {0, 1} and len(numbers) <= 2  # a slow one may come too late
    assert os.getpid() not in {process for _, process in numbers}
    assert _prepared == [] and active_children() == []


@pytest.mark.parametrize(
    ("work", "begin", "message"),
    [
        (refused, partial(prepare, 0), "^[0-3]: damaged$"),
        (added, cannot_begin, "^model: went away$"),
        (
            ended,
            partial(prepare, 0),
            r"^workers: one was ended by SIGKILL \(out of memory\?\); .* fewer workers=",
        ),
    ],
)
def test_errors_come_as_they_were_raised_and_end_all_workers(
    work: object, begin: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        list(in_workers(work, range(4), 2, begin, method="forkserver"))  # type: ignore[arg-type]
    assert active_children() == []


def slow_at_first(task: int) -> int:
    if task == 0:
        time.sleep(0.3)
    return task


def test_results_come_in_order_where_asked_and_the_message_names_the_setting() -> None:
    begin = partial(prepare, 0)
    assert list(in_workers(slow_at_first, range(6), 2, begin, in_order=True)) == list(range(6))
    with pytest.raises(InputError, match=r"^processes: .* SIGKILL .*; again, with fewer processes="):
        list(in_workers(ended, [1], 1, begin, in_order=True, setting="processes", advice="again"))
    assert active_children() == []


def test_results_that_are_not_awaited_end_the_workers() -> None:
    results = in_workers(added, range(50), 2, partial(prepare, 0))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert active_children() == []

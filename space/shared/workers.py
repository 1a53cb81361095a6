"""Worker processes that share a list of tasks, and end with the process that started them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from typing import Any, Literal, TypeVar

from space.shared.plain import InputError
from space.shared.sockets import socket_folder, temporary_files_in
from space.shared.workers_path import path_for_workers

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_workers(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    prepare: Callable[[int], None],
    *,
    method: Literal["spawn", "forkserver"] = "spawn",
    preload: Sequence[str] = (),
    in_order: bool = False,
    setting: str = "workers",
    advice: str = "what is finished stays, and the same command goes on",
) -> Iterator[Result]:
    """The result of each task, as workers finish them or in the tasks' order. What is not awaited any more is
    killed.

    Args:
        work: a function of a module, as all that goes to another process by name.
        prepare: called in each worker before its first task, with the worker's number from 0; what it raises
            is raised here. What tasks need it leaves in its module.
        method: how processes start; neither inherits anything of CUDA.
        preload: modules that a fork server imports once for all workers.
        setting, advice: the field that says how many, and what to do when one was ended, for the message.

    Raises:
        InputError: a worker was ended from outside.
        Exception: what `prepare` or `work` raised.
    """
    context = fork_server(preload) if method == "forkserver" else get_context(method)
    before, children = set(active_children()), set[BaseProcess]()
    pool = ProcessPoolExecutor(workers, context, _begin, (context.Value("i", 0), prepare))
    try:
        with path_for_workers():
            futures = [pool.submit(_finish, work, task) for task in tasks]
        children |= set(active_children()) - before
        for future in futures if in_order else as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        pool.shutdown(wait=True)  # it has ended the others, and only then is known how each ended
        raise InputError(
            f"{setting}: one was ended by {_what_ended(children)} (out of memory?); {advice}, with fewer "
            f"{setting}= if need be"
        ) from None
    finally:
        for child in children | (set(active_children()) - before):
            child.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def fork_server(preload: Sequence[str]) -> Any:
    """A context of processes that find these modules imported."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with temporary_files_in(socket_folder("pymp-12345678/listener-12345678")):
        get_temp_dir()  # where the server will listen
    return context


def _what_ended(children: Iterable[BaseProcess]) -> str:
    """The signal that one was ended by; a pool that has lost one ends the others by SIGTERM."""
    codes = [child.exitcode for child in children if child.exitcode]
    first = next((code for code in codes if code != -signal.SIGTERM), -signal.SIGTERM)
    return signal.Signals(-first).name if first < 0 else f"itself with status {first}"


# ---------------------------------------------------------------------- in a worker

_failed: list[Exception] = []  # what `prepare` raised, of which a pool would say only that it broke


def _begin(numbers: Any, prepare: Callable[[int], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=end_with_parent, daemon=True).start()
    with numbers.get_lock():
        number = numbers.value
        numbers.value += 1
    try:
        prepare(number)
    except Exception as error:
        _failed.append(error)


def _finish(work: Callable[[Task], Result], task: Task) -> Result:
    if _failed:
        raise _failed[0]
    return work(task)


def end_with_parent() -> None:
    """A parent that was killed can stop nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

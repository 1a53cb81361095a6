"""The workers of one training on this machine: started, watched, and started again when one is lost.

They find each other as torchrun's do, so that one training runs under either. Nothing is left to guess when a
worker ends: it says why, unless it was killed, and those who only notice that another one is gone say that.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Literal, NamedTuple

import torch
from torch import distributed

from space.shared.cpus import available_cpus
from space.shared.workers import end_with_parent, fork_server
from space.shared.workers_path import path_for_workers
from training.distributed.ranks import RAISED_BY_ALL, FirstFailed
from training.failures import OutOfMemory, WorkersLost, is_out_of_memory

BY_A_FIRST_STEP = ("torch._dynamo", "diffusers.schedulers")  # imported late, by every worker: once for all
LOOPBACK, LOOPBACK_NAMES = "127.0.0.1", ("lo", "lo0")
KNOWN_SECONDS = 15.0  # in which the cause shows, once a worker has noticed that another one is gone
_OF_OTHERS = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")

HowWorkerEnded = Literal["done", "raised", "memory", "interrupted", "left alone", "killed"]
LOST = ("killed", "left alone")


class LastWord(NamedTuple):
    """How a worker ended, as it says itself; one that was killed says nothing."""

    kind: HowWorkerEnded
    name: str = ""  # of the exception
    text: str = ""
    micro_batch: int = 0


class _Worker(NamedTuple):
    process: BaseProcess
    says: Connection
    slot: int


def run_workers(
    work: Callable[[int | None], None],
    count: int,
    *,
    least: int = 1,
    restarts: int = 0,
    say: Callable[[str], None] = print,
    preload: Sequence[str] = (),
) -> None:
    """`work(micro_batch)` in each of so many workers, until all have ended it.

    A worker that is lost is not replaced: the others begin again, which has to be from a state, at most
    `restarts` times and while `least` are left. Where memory runs out all begin again with a `micro_batch`.
    Ctrl-C is for the first worker, and a second one ends all.

    Raises:
        WorkersLost: too many were lost.
        KeyboardInterrupt: the workers ended by it.
        OutOfMemory: with smaller micro-batches, too.
        Exception: what a worker raised, if it is of `RAISED_BY_ALL`; RuntimeError for all else.
    """
    slots, micro_batch, lost = list(range(count)), None, 0
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else DDP warns of what ddp.py does on purpose
    while True:
        ended = _until_one_ends(work, slots, micro_batch, preload)
        if ended is None:
            return
        number, word = ended
        if word.kind == "memory" and (micro_batch is None or word.micro_batch < micro_batch):
            micro_batch = word.micro_batch
            say(
                f"out of memory on worker {number} of {len(slots)} ({word.text}): all begin again from the "
                f"last state, with micro-batches of {micro_batch} images; batches stay as they are"
            )
        elif word.kind in LOST:
            lost += 1
            gone = f"worker {number} of {len(slots)} was lost ({word.text})"
            del slots[number]
            if lost > restarts or len(slots) < least:
                allowed = f"restarts: {restarts}" if lost > restarts else f"min_workers: {least}"
                raise WorkersLost(f"{gone}, and no more begin again ({allowed})")
            say(f"{gone}: {len(slots)} begin again from the last state")
        else:
            raise _raised(number, word)


def _raised(number: int, word: LastWord) -> BaseException:
    if word.kind == "interrupted":
        return KeyboardInterrupt()
    if word.kind == "memory":
        return OutOfMemory(f"worker {number}: {word.text}", word.micro_batch)
    kind = RAISED_BY_ALL.get(word.name)
    return kind(word.text) if kind else RuntimeError(f"worker {number}: {word.name}: {word.text}")


def _until_one_ends(
    work: Callable[[int | None], None], slots: Sequence[int], micro_batch: int | None, preload: Sequence[str]
) -> tuple[int, LastWord] | None:
    """None where all workers end well; else the one that ended otherwise, the others being killed."""
    store = distributed.TCPStore(LOOPBACK, 0, is_master=True, wait_for_workers=False)
    context, workers = fork_server((*preload, *BY_A_FIRST_STEP)), list[_Worker]()
    try:
        with path_for_workers():
            _start_fork_server()
            for rank, slot in enumerate(slots):
                told, says = context.Pipe(duplex=False)
                around = _environment(rank, slot, len(slots), store.port)
                process = context.Process(target=_begin, args=(work, micro_batch, around, says))
                process.start()
                says.close()
                workers.append(_Worker(process, told, slot))
        with _interruption(workers[0].process) as asked:
            ended = _watch(workers)
            if asked() and ended is not None and ended[1].kind in LOST:
                raise KeyboardInterrupt  # to stop: nobody begins again
            return ended
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _watch(workers: Sequence[_Worker]) -> tuple[int, LastWord] | None:
    """The first that ended otherwise than well. One that is left alone waits for the reason to show."""
    words: dict[int, LastWord] = {}
    until: float | None = None
    while len(words) < len(workers):
        running = [worker for number, worker in enumerate(workers) if number not in words]
        pause = None if until is None else max(0.0, until - time.monotonic())
        if not wait([worker.process.sentinel for worker in running], pause):
            break
        for number, worker in enumerate(workers):
            if number not in words and worker.process.exitcode is not None:
                words[number] = _last_word(worker)
                if words[number].kind in ("killed", "raised", "memory"):
                    return number, words[number]
        if until is None and any(word.kind == "left alone" for word in words.values()):
            until = time.monotonic() + KNOWN_SECONDS
    return next(((number, word) for number, word in words.items() if word.kind != "done"), None)


def _last_word(worker: _Worker) -> LastWord:
    with suppress(EOFError, OSError):
        if worker.says.poll():
            said: LastWord = worker.says.recv()
            return said
    code = worker.process.exitcode or 0
    return LastWord("killed", text=signal.Signals(-code).name if code < 0 else f"status {code}")


def _environment(rank: int, slot: int, count: int, port: int) -> dict[str, str]:
    """As torchrun has it."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(slot),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": str(True),
    }


def _start_fork_server() -> None:
    """Deaf to what ends a whole group of processes, or all of a job: it is this process's to pass on, and the
    server tells it how workers end. Workers hear it again."""
    resource_tracker.ensure_running()  # which would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interruption(first: BaseProcess) -> Iterator[Callable[[], bool]]:
    """Ctrl-C, or what a cluster ends processes by, goes to the first worker as Ctrl-C, which asks the others
    to stop; a second one is ours. Tells whether there was one."""
    is_asked = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal is_asked
        is_asked = True
        signal.signal(number, signal.default_int_handler)
        if first.pid is not None and first.exitcode is None:
            os.kill(first.pid, signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: is_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---------------------------------------------------------------------- in a worker


def _begin(
    work: Callable[[int | None], None], micro_batch: int | None, around: dict[str, str], says: Connection
) -> None:
    os.setsid()  # Ctrl-C of a terminal is the parent's to pass on
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.environ.update(around)
    meet_on_loopback()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cpus() // int(around["WORLD_SIZE"])))
    be_silent_unless_first()
    word = last_word_of(lambda: work(micro_batch))
    says.send(word)
    says.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0 if word.kind == "done" else 1)  # threads that wait for the others hold up nobody


def meet_on_loopback() -> None:
    """Workers of this machine alone, whatever its name leads to."""
    if name := next((each for _, each in socket.if_nameindex() if each in LOOPBACK_NAMES), None):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def be_one_of_many(work: Callable[[], Any]) -> None:
    """Of workers that something else has started, which sees to it that all end when one does."""
    be_silent_unless_first()
    word = last_word_of(work)
    if word.kind == "done":
        return
    if word.kind != "interrupted":
        advice = f"; training.micro_batch={word.micro_batch} takes less" if word.kind == "memory" else ""
        print(f"error: worker {os.environ['RANK']}: {word.text}{advice}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(130 if word.kind == "interrupted" else 1)  # as `_begin`


def be_silent_unless_first() -> None:
    """What all workers would say is said once."""
    if os.environ["RANK"] != "0":
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends


def last_word_of(work: Callable[[], Any]) -> LastWord:
    """How it ends. A bug shows its traceback, as where there is one process."""
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:
        word = word_of_error(error)
        is_bug = word.kind == "raised" and word.name not in RAISED_BY_ALL
        if is_bug and not is_out_of_memory(error):
            traceback.print_exc()
        return word
    return LastWord("done")


def word_of_error(error: BaseException) -> LastWord:
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return LastWord("interrupted")
    if isinstance(error, OutOfMemory):
        return LastWord("memory", text=text, micro_batch=error.micro_batch)
    if is_of_others(error):
        return LastWord("left alone", text=f"another worker noticed: {text[:100]}")
    return LastWord("raised", type(error).__name__, text[:1000])


def is_of_others(error: BaseException) -> bool:
    """Whether this worker merely noticed that another one is gone."""
    if isinstance(error, (FirstFailed, distributed.DistError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in _OF_OTHERS)

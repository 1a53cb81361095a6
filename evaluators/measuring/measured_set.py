"""A set of images measured part by part, by one process or several: what is finished survives any kill.

Workers take whole parts; how many there are leaves no trace in what is measured.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from typing import Any

import torch

from evaluators.images.image_set import ImageSet, content_digest
from evaluators.images.preparation import check_form
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.parts import Part, Work, measured_parts, memory_is_full, parts_of
from evaluators.networks.features import Networks
from space.shared.plain import InputError

OnImages = Callable[[int, int], None]


@dataclass(frozen=True)
class MeasuredSet:
    """Attributes:
    digest: of the readable images, in order.
    unreadable: name -> why, of those that were left out.
    jpeg: how many came as JPEG files.
    """

    measured: Measurements
    digest: str
    unreadable: dict[str, str]
    jpeg: int


def measure_set(
    work: Work,
    networks: Networks,
    *,
    workers: int = 1,
    on_images: OnImages = lambda done, of: None,
) -> MeasuredSet:
    """Measure what is missing, and give all of it together.

    Args:
        networks: those that `work.load` gives; one worker means this process, which then uses them.
        on_images: told of the images that are done and of how many there are; once before the first is
            measured, then after each part.

    Raises:
        InputError: anything of images, captions or folder that does not fit, or a worker that was killed.
            Finished parts stay.
    """
    check_form(work.form)
    images = work.open()
    parts = parts_of(work, images, networks)
    waiting = [part for part in parts if part.read() is None]
    done, total = len(images.names) - sum(len(part.indices) for part in waiting), len(images.names)
    on_images(done, total)
    try:
        work.folder.mkdir(parents=True, exist_ok=True)
        for part in _finished(work, images, networks, waiting, min(workers, len(waiting))):
            done += len(part.indices)
            on_images(done, total)
    except OSError as error:
        raise InputError(f"{work.folder}: cannot be written: {error}") from None
    return _together(parts, images, networks)


def _together(parts: Sequence[Part], images: ImageSet, networks: Networks) -> MeasuredSet:
    measured = Measurements.by(networks)
    digests, jpeg = list[bytes](), 0
    unreadable: dict[str, str] = {}
    for part in parts:
        about = part.read()
        if about is None:
            raise InputError(f"{part.measurements}: went away, or its images changed, while it was scored")
        measured.merge(Measurements.load(part.measurements))
        digests += [bytes.fromhex(digest) for digest in about["digests"]]
        unreadable |= about["unreadable"]
        jpeg += about["jpeg"]
    return MeasuredSet(measured, content_digest(digests), unreadable, jpeg)


# ---------------------------------------------------------------------- one process or several


def _finished(
    work: Work, images: ImageSet, networks: Networks, parts: Sequence[Part], workers: int
) -> Iterator[Part]:
    """Parts as they come to lie on the disk, measured here or by worker processes."""
    cores = os.cpu_count() or 1
    if workers <= 1:
        yield from measured_parts(work, images, networks, parts, threads=cores)
        return
    context = get_context("spawn")
    numbers = context.Value("i", 0)
    before = set(active_children())
    threads = max(1, cores // workers)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (work, numbers, threads))
    try:
        futures = [pool.submit(_measure_one, part) for part in parts]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise InputError(
            "workers: one was killed (out of memory?); what is finished stays, and the same command goes on, "
            "with fewer workers= if need be"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - before:
            child.kill()


_worker: dict[str, Any] = {}  # of a worker process: what every part needs


def _start_worker(work: Work, numbers: Any, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with numbers.get_lock():
        number = numbers.value
        numbers.value += 1
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    try:
        _worker.update(work=work, images=work.open(), networks=work.load(), threads=threads)
    except torch.OutOfMemoryError as error:
        _worker["failed"] = memory_is_full(error)
    except Exception as error:  # of which the pool would say only that it broke
        _worker["failed"] = error


def _measure_one(part: Part) -> Part:
    if "failed" in _worker:
        raise _worker["failed"]
    return next(
        measured_parts(_worker["work"], _worker["images"], _worker["networks"], [part], _worker["threads"])
    )


def _end_with_parent() -> None:
    """A parent that was killed can stop nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

"""A set of images measured part by part, by one process or several: what is finished survives any kill.

Workers take whole parts; how many there are leaves no trace in what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from evaluators.images.image_set import ImageSet, content_digest
from evaluators.images.preparation import check_form
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.parts import MeasuredPart, Work, measured_parts, memory_is_full, parts_of
from evaluators.networks.features import Networks
from space.shared.cpus import available_cpus
from space.shared.plain import InputError
from space.shared.workers import in_workers

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


def _together(parts: Sequence[MeasuredPart], images: ImageSet, networks: Networks) -> MeasuredSet:
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
    work: Work, images: ImageSet, networks: Networks, parts: Sequence[MeasuredPart], workers: int
) -> Iterator[MeasuredPart]:
    """Parts as they come to lie on the disk, measured here or by worker processes."""
    cores = available_cpus()
    if workers <= 1:
        yield from measured_parts(work, images, networks, parts, threads=cores)
        return
    threads = max(1, cores // workers)
    yield from in_workers(_measure_one, parts, workers, partial(_prepare_worker, work, threads))


_worker: dict[str, Any] = {}  # of a worker process: what every part needs


def _prepare_worker(work: Work, threads: int, number: int) -> None:
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    try:
        _worker.update(work=work, images=work.open(), networks=work.load(), threads=threads)
    except torch.OutOfMemoryError as error:
        raise memory_is_full(error) from None


def _measure_one(part: MeasuredPart) -> MeasuredPart:
    return next(
        measured_parts(_worker["work"], _worker["images"], _worker["networks"], [part], _worker["threads"])
    )

"""Sets of images measured part by part: what is finished stays on the disk, whatever kills the rest.

A part is a few hundred images in a row. Its file is named for its place and holds a key of all that decides
it (names, sizes and times of the files, captions, form, weights), so a part made of anything else is made
again. Workers take whole parts; how many there are leaves no trace in what is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluators.decoding import Unreadable
from evaluators.features import CHUNK, ImageFeatures, TextSimilarity
from evaluators.files import replacing
from evaluators.images import ImageSet, content_digest, open_images
from evaluators.measure import Measurements, Networks
from evaluators.preparation import as_stored, check_drawn_size, check_form, prepare
from evaluators.protocol import ImageForm
from space.plain import InputError, to_plain

FORMAT = 1  # of the files; raised when an old part would no longer be measured the same
AHEAD = 2  # batches that are read while one is looked at
JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Work:
    """What is measured and how; handed to every worker.

    Attributes:
        source, field: as `open_images` takes them.
        samples: not references: they also have the form's drawn size, and pass through its file format.
        captions: one an image; None where no text tower is asked.
        load: gives a worker its networks.
        folder: of the finished parts.
    """

    source: str
    field: str
    samples: bool
    captions: tuple[str, ...] | None
    form: ImageForm
    load: Callable[[], Networks]
    folder: Path
    part_images: int = 256


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


@dataclass(frozen=True)
class Part:
    folder: Path
    indices: range
    key: str

    @property
    def measurements(self) -> Path:
        return self.folder / f"{self.indices.start:08d}.safetensors"

    @property
    def about(self) -> Path:
        return self.measurements.with_suffix(".json")

    def read(self) -> dict[str, Any] | None:
        """What stands beside the measurements; None where the part is not finished, or of something else."""
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return about if about.get("key") == self.key and self.measurements.is_file() else None


OnImages = Callable[[int, int], None]


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
    images = open_images(work.source, work.field)
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


def parts_of(work: Work, images: ImageSet, networks: Networks) -> list[Part]:
    """All parts, in order, each with the key of what decides it."""
    rulers = rulers_of(networks)
    parts = []
    for start in range(0, len(images.names), work.part_images):
        indices = range(start, min(start + work.part_images, len(images.names)))
        captions = None if work.captions is None else work.captions[start : indices.stop]
        files = [(images.names[index], images.stamp(index)) for index in indices]
        stated = [FORMAT, files, work.samples, captions, to_plain(work.form), rulers]
        key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
        parts.append(Part(work.folder, indices, key))
    return parts


def rulers_of(networks: Networks) -> list[tuple[str, str, str]]:
    """What tells whether two measurements are by the same networks."""
    every: list[ImageFeatures | TextSimilarity] = [*networks.features, *networks.similarities]
    return [(network.name, network.digest, network.preparation) for network in every]


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


# ---------------------------------------------------------------------- in one process


@dataclass(frozen=True)
class _Read:
    """One image: its pixels in the protocol's form, or why there are none."""

    pixels: np.ndarray | None
    digest: str = ""
    why: str = ""


def _measured(
    work: Work, images: ImageSet, networks: Networks, parts: Sequence[Part], threads: int
) -> Iterator[Part]:
    """Measure part after part, reading ahead across their borders; yields each when it is on the disk."""
    batches = [
        (part, part.indices[start : start + CHUNK])
        for part in parts
        for start in range(0, len(part.indices), CHUNK)
    ]
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[list[Future[_Read]]] = deque()
        waiting = iter(batches)

        def read_ahead() -> None:
            for _, indices in waiting:
                ahead.append([pool.submit(_read, work, images, index) for index in indices])
                if len(ahead) > AHEAD:
                    return

        try:
            measured, read = Measurements.by(networks), dict[int, _Read]()
            for part, indices in batches:
                read_ahead()
                batch = {
                    index: future.result() for index, future in zip(indices, ahead.popleft(), strict=True)
                }
                _add(measured, work, networks, batch)
                read |= {index: _Read(None, item.digest, item.why) for index, item in batch.items()}
                if indices.stop == part.indices.stop:
                    _write(part, images, measured, read)
                    yield part
                    measured, read = Measurements.by(networks), {}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read(work: Work, images: ImageSet, index: int) -> _Read:
    try:
        content = images.read(index)
        picture = images.decode(content)
    except Unreadable as error:
        return _Read(None, why=str(error))
    try:
        if work.samples:
            check_drawn_size(picture, work.form)
        pixels = prepare(picture, work.form)
    except InputError as error:
        raise InputError(f"{work.field}: {images.names[index]} has {error}") from None
    if work.samples and not images.names[index].lower().endswith(JPEG):
        pixels = as_stored(pixels, work.form)
    return _Read(pixels, hashlib.sha256(content).hexdigest())


def _add(measured: Measurements, work: Work, networks: Networks, batch: dict[int, _Read]) -> None:
    pixels = {index: item.pixels for index, item in batch.items() if item.pixels is not None}
    if not pixels:
        return
    captions = None if work.captions is None else [work.captions[index] for index in pixels]
    try:
        measured.add(networks, list(pixels), np.stack(list(pixels.values())), captions)
    except ValueError as error:  # features that are not finite
        raise InputError(f"{work.field}: images {min(pixels):,} to {max(pixels):,}: {error}") from None


def _write(part: Part, images: ImageSet, measured: Measurements, read: dict[int, _Read]) -> None:
    """Measurements first, then what makes them count."""
    measured.save(part.measurements)
    about = {
        "key": part.key,
        "digests": [item.digest for item in read.values() if item.digest],
        "unreadable": {images.names[index]: item.why for index, item in read.items() if not item.digest},
        "jpeg": sum(images.names[index].lower().endswith(JPEG) for index in read if read[index].digest),
    }
    with replacing(part.about) as own:
        own.write_text(json.dumps(about), encoding="utf-8")


# ---------------------------------------------------------------------- in several


def _finished(
    work: Work, images: ImageSet, networks: Networks, parts: Sequence[Part], workers: int
) -> Iterator[Part]:
    """Parts as they come to lie on the disk, measured here or by worker processes."""
    cores = os.cpu_count() or 1
    if workers <= 1:
        yield from _measured(work, images, networks, parts, threads=cores)
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
    images = open_images(work.source, work.field)
    _worker.update(work=work, images=images, networks=work.load(), threads=threads)


def _measure_one(part: Part) -> Part:
    return next(
        _measured(_worker["work"], _worker["images"], _worker["networks"], [part], _worker["threads"])
    )


def _end_with_parent() -> None:
    """A parent that was killed can stop nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

"""Parts of a set of images: what each is made of, and what it leaves on the disk.

A part is a few hundred images in a row. Its file is named for its place and holds a key of all that decides
it (names, sizes and times of the files, captions, form, weights), so a part made of anything else is made
again.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluators.images.captions import named_in
from evaluators.images.image_set import ImageSet, open_images
from evaluators.images.preparation import as_stored, check_sample_size, prepare
from evaluators.measuring.measurements import Measurements
from evaluators.networks.features import CHUNK, ImageFeatures, Networks, TextSimilarity, together
from evaluators.protocols.protocol import ImageForm
from space.shared.decoding import Unreadable
from space.shared.files import write_whole
from space.shared.plain import InputError, to_plain

FORMAT = 2  # of the files; raised when an old part would no longer be measured the same
AHEAD = 2  # batches that are read while one is looked at
JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Work:
    """What is measured and how; handed to every worker.

    Attributes:
        source, field: as `open_images` takes them.
        only: a captions file; of the source's images those that it names.
        samples: not references: they have the size of generated samples, and pass through its file format.
        captions: one per image; None where no text tower is asked.
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
    only: str | None = None

    def open(self) -> ImageSet:
        return chosen_images(self.source, self.field, self.only)


def chosen_images(source: str, field: str, only: str | None) -> ImageSet:
    """All images of a source, or those that the captions file `only` names. Raises InputError as both do."""
    images = open_images(source, field)
    return images if only is None else named_in(only, images, f"{field}_list")


@dataclass(frozen=True)
class MeasuredPart:
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


def parts_of(work: Work, images: ImageSet, networks: Networks) -> list[MeasuredPart]:
    """All parts, in order, each with the key of what decides it."""
    identities = network_identities(networks)
    parts = []
    for start in range(0, len(images.names), work.part_images):
        indices = range(start, min(start + work.part_images, len(images.names)))
        captions = None if work.captions is None else work.captions[start : indices.stop]
        files = [(images.names[index], images.stamp(index)) for index in indices]
        stated = [FORMAT, files, work.samples, captions, to_plain(work.form), identities]
        key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
        parts.append(MeasuredPart(work.folder, indices, key))
    return parts


def network_identities(networks: Networks) -> list[tuple[str, str, str]]:
    """What tells whether two measurements are by the same networks."""
    every: list[ImageFeatures | TextSimilarity] = [*networks.features, *networks.similarities]
    return [(network.name, network.digest, network.preparation) for network in every]


# ---------------------------------------------------------------------- measuring them


@dataclass(frozen=True)
class ReadImage:
    """One image: its pixels in the protocol's form, or why there are none."""

    pixels: np.ndarray | None
    digest: str = ""
    why: str = ""


def measured_parts(
    work: Work, images: ImageSet, networks: Networks, parts: Sequence[MeasuredPart], threads: int
) -> Iterator[MeasuredPart]:
    """Measure part after part, reading ahead across their borders; yields each when it is on the disk."""
    batches = [
        (part, part.indices[start : start + CHUNK])
        for part in parts
        for start in range(0, len(part.indices), CHUNK)
    ]
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[list[Future[ReadImage]]] = deque()
        waiting = iter(batches)

        def read_ahead() -> None:
            for _, indices in waiting:
                ahead.append([pool.submit(read_image, work, images, index) for index in indices])
                if len(ahead) > AHEAD:
                    return

        try:
            measured, read = Measurements.by(networks), dict[int, ReadImage]()
            for part, indices in batches:
                read_ahead()
                batch = {
                    index: future.result() for index, future in zip(indices, ahead.popleft(), strict=True)
                }
                _add(measured, work, networks, batch)
                read |= {index: ReadImage(None, item.digest, item.why) for index, item in batch.items()}
                if indices.stop == part.indices.stop:
                    _write(part, images, measured, read)
                    yield part
                    measured, read = Measurements.by(networks), {}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def read_image(work: Work, images: ImageSet, index: int) -> ReadImage:
    """One of the set's images. Raises InputError where it does not fit the form."""
    try:
        content = images.read(index)
        image = images.decode(content)
    except Unreadable as error:
        return ReadImage(None, why=str(error))
    try:
        if work.samples:
            check_sample_size(image, work.form)
        pixels = prepare(image, work.form)
    except InputError as error:
        raise InputError(f"{work.field}: {images.names[index]} has {error}") from None
    if work.samples and not images.names[index].lower().endswith(JPEG):
        pixels = as_stored(pixels, work.form)
    return ReadImage(pixels, hashlib.sha256(content).hexdigest())


def _add(measured: Measurements, work: Work, networks: Networks, batch: dict[int, ReadImage]) -> None:
    pixels = {index: item.pixels for index, item in batch.items() if item.pixels is not None}
    if not pixels:
        return
    captions = None if work.captions is None else [work.captions[index] for index in pixels]
    try:
        measured.add(networks, list(pixels), together(list(pixels.values())), captions)
    except torch.OutOfMemoryError as error:
        raise memory_is_full(error) from None
    except ValueError as error:  # features that are not finite
        raise InputError(f"{work.field}: images {min(pixels):,} to {max(pixels):,}: {error}") from None


def memory_is_full(error: torch.OutOfMemoryError) -> InputError:
    """Of the device: what a user can do about it."""
    return InputError(
        f"compute.device: its memory is full ({str(error).splitlines()[0]}); allowed: fewer workers=, a "
        "narrower compute.precision=, compute.device=cpu"
    )


def _write(part: MeasuredPart, images: ImageSet, measured: Measurements, read: dict[int, ReadImage]) -> None:
    """Measurements first, then what makes them count."""
    measured.save(part.measurements)
    about = {
        "key": part.key,
        "digests": [item.digest for item in read.values() if item.digest],
        "unreadable": {images.names[index]: item.why for index, item in read.items() if not item.digest},
        "jpeg": sum(images.names[index].lower().endswith(JPEG) for index in read if read[index].digest),
    }
    write_whole(part.about, json.dumps(about), durable=True)

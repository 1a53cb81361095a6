"""Where each image of a source lies, with its captions: listed once, kept in a folder, read from the disk.

The list is an Arrow file, a batch for each part of the source, of which the system maps what is read into
memory and takes it back when it is short: opening a list, and reading an image of it, take no longer and no
more memory for many images than for few.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from space.shared.files import making_folder
from space.shared.image_files import PassedOver
from space.shared.plain import InputError
from training.data.sources.forms import NOT_THERE, Listable, ListedImage, Listing, Located
from training.data.sources.place import DataPlace, reason_in_words, to_stderr

VERSION = 2  # of what is kept
LIST_NAME, SUMMARY_NAME = "images.arrow", "summary.json"
BATCH_IMAGES = 1 << 14  # images of a part in one batch; a part of more has several


class Index:
    """The images of a source by their number.

    Attributes:
        folder: where the list is kept, and whatever else is known of the source may be.
        counts: of images in each part; a large shard is several.
        listed_parts: of the source, whatever was found in them.
        digest: of names, captions and sizes; equal wherever the source lies.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        summary = json.loads((folder / SUMMARY_NAME).read_text(encoding="utf-8"))
        self.folder, self.parts, self.counts = folder, summary["parts"], np.array(summary["counts"], np.int64)
        self.form, self.digest, self.captions = summary["form"], summary["digest"], summary["captions"]
        self.listed_parts = int(summary["listed_parts"])
        self.left_out = PassedOver(summary["left_out"], summary["first_left_out"])
        self._ends = np.cumsum(self.counts)
        self._reader = pa.ipc.open_file(pa.memory_map(str(folder / LIST_NAME)))
        self._batch = lru_cache(maxsize=64)(self._reader.get_batch)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def located(self, image: int) -> Located:
        part, batch, row = self._at(image)
        return Located(
            part, batch["name"][row].as_py(), batch["offset"][row].as_py(), batch["size"][row].as_py()
        )

    def captions_of(self, image: int) -> list[str]:
        _, batch, row = self._at(image)
        captions: list[str] = batch["captions"][row].as_py()
        return captions

    def every_caption(self) -> Iterator[list[list[str]]]:
        """Of all images in their order, some at a time."""
        for number in range(self._reader.num_record_batches):
            yield self._reader.get_batch(number)["captions"].to_pylist()

    def _at(self, image: int) -> tuple[str, Any, int]:
        if not 0 <= image < len(self):
            raise IndexError(image)
        part = int(np.searchsorted(self._ends, image, side="right"))
        return self.parts[part], self._batch(part), image - int(self._ends[part] - self.counts[part])


def open_index(form: Listable, kept_in: Path, *, anew: bool = False) -> Index:
    """The list of a source as it is now, made where it is not there yet.

    Args:
        kept_in: a folder for what is known of sources.
        anew: though it is there.

    Raises:
        InputError: the source cannot be read in this form, or holds no image with a caption.
    """
    place = form.place
    stated = [form.name, *form.options, str(place.filesystem.protocol), place.root, *(place.named or ())]
    above = kept_in / hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:16]
    folder = above / place.patiently(partial(versions_of_files, form))
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / SUMMARY_NAME).is_file() and _lacked(place, Index(folder)):
        shutil.rmtree(folder)
    if not (folder / SUMMARY_NAME).is_file():
        to_stderr(f"listing the images of {place.address} once, in {folder}")
        _make(form, folder)
        for older in above.iterdir():
            if older != folder and not older.name.startswith("."):
                shutil.rmtree(older, ignore_errors=True)
    return Index(folder)


def versions_of_files(form: Listable) -> str:
    """Sixteen hexadecimal digits of the files as they are now, however many there are."""
    place, versions = form.place, hashlib.sha256(str(VERSION).encode())
    for file in form.files():
        versions.update(json.dumps(place.patiently(partial(place.version, file))).encode())
    return versions.hexdigest()[:16]


def _lacked(place: DataPlace, index: Index) -> bool:
    """Whether a file that was named and not there is there by now; the first few of them tell."""
    names = index.left_out.first.get(NOT_THERE, [])
    return bool(names) and any(size is not None for size in place.patiently(partial(place.sizes, names)))


def _make(form: Listable, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with making_folder(folder) as own:
            own.mkdir()
            summary = _write(form, own / LIST_NAME)
            (own / SUMMARY_NAME).write_text(json.dumps(summary), encoding="utf-8")
    except OSError as error:
        if not (folder / SUMMARY_NAME).is_file():  # else another process was first
            raise InputError(f"data.cache_folder: {str(folder)!r} cannot be written: {error}") from None


def _write(form: Listable, file: Path) -> dict[str, Any]:
    digest, left_out = hashlib.sha256(), PassedOver()
    parts: list[str] = []
    counts: list[int] = []
    captions = listed = 0
    with _writer(file) as write:
        for part, listing in _parts(form):
            items, passed_over = form.place.patiently(partial(_listed, listing))
            left_out.add_all(passed_over)
            listed += 1
            for first in range(0, len(items), BATCH_IMAGES):
                some = items[first : first + BATCH_IMAGES]
                for item in some:
                    digest.update(json.dumps([item.name, item.captions, item.size]).encode())
                    captions += len(item.captions)
                write(some)
                parts.append(part)
                counts.append(len(some))
    if not parts:
        why = f" ({left_out})" if left_out.counts else ""
        raise InputError(f"data.source: {form.place.address!r} holds no image with a caption{why}")
    return {
        "form": form.name,
        "parts": parts,
        "listed_parts": listed,
        "counts": counts,
        "captions": captions,
        "digest": digest.hexdigest()[:16],
        "left_out": left_out.counts,
        "first_left_out": left_out.first,
    }


def _parts(form: Listable) -> Iterator[tuple[str, Listing]]:
    """Errors of the source are told from those of the folder that the list is written to."""
    parts = form.parts()
    while True:
        try:
            part = next(parts, None)
        except OSError as error:
            raise InputError(
                f"data.source: {form.place.address!r} cannot be listed: {reason_in_words(error)}"
            ) from None
        if part is None:
            return
        yield part


def _listed(listing: Listing) -> tuple[list[ListedImage], PassedOver]:
    passed_over = PassedOver()
    return list(listing(passed_over)), passed_over


@contextmanager
def _writer(file: Path) -> Iterator[Callable[[Sequence[ListedImage]], None]]:
    """Writes a batch for each part."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("name", pa.string()),
            ("captions", pa.list_(pa.string())),
            ("offset", pa.int64()),
            ("size", pa.int64()),
        ]
    )
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as batches:

        def write(items: Sequence[ListedImage]) -> None:
            columns: Iterable[Any] = zip(*items, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            batches.write_batch(pa.record_batch(arrays, schema=schema))

        yield write

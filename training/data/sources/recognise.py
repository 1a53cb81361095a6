"""In which form captioned images lie at a place, by looking or as it is named."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from space.shared.captions import BESIDE
from space.shared.decoding import image_suffixes
from space.shared.file_names import natural_order
from space.shared.plain import InputError, first_few
from training.data.sources.forms import Form
from training.data.sources.loose import CaptionsFiles, TextBeside
from training.data.sources.place import DataPlace
from training.data.sources.rows import ROW_READERS
from training.data.sources.tables import ParquetImages, holds_images, is_torn
from training.data.sources.tars import TarShards

DataFormat = Literal["auto", "captions", "huggingface", "coco", "txt", "webdataset", "parquet", "img2dataset"]
METADATA = tuple(f"metadata.{form}" for form in ("jsonl", "csv", "parquet"))
ANNOTATIONS_OF_COCO = "captions_"  # and the split, of which the folder of its images has the name
COMPRESSED_ENDS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
REPORT_OF_IMG2DATASET = "_stats.json"  # beside each shard


@dataclass(frozen=True)
class Reading:
    """How a source is to be read, where looking does not tell."""

    format: DataFormat = "auto"
    captions: str | None = None
    images: str | None = None
    caption_field: str | None = None
    image_field: str | None = None
    memory_bytes: int = 2**30


@dataclass
class _Seen:
    """What lies at a place, as far down as forms have it: names of files, by what they may be."""

    tars: list[str] = field(default_factory=list)
    parquets: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    coco: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)  # the first few
    compressed: list[str] = field(default_factory=list)  # shards
    others: list[str] = field(default_factory=list)
    is_img2dataset: bool = False

    @property
    def any(self) -> bool:
        """Whether anything lies there that training may read."""
        of = (self.tars, self.parquets, self.captions, self.metadata, self.coco, self.images, self.compressed)
        return any(of)


def recognise(place: DataPlace, reading: Reading) -> Form:
    """Raises InputError where nothing here can be read, or several things could be and none is named."""
    if reading.format not in ("auto", "captions", "coco") and reading.captions is not None:
        raise InputError(
            f"data.captions: {reading.captions!r} has no place in data.format={reading.format}; allowed: "
            "captions, coco"
        )
    seen = place.patiently(lambda: _look(place, _names(place)))
    if place.named is None and not seen.any:
        seen = place.patiently(lambda: _look(place, _all_names(place)))
    if reading.captions is not None:
        seen.captions = [_named(place, reading.captions)]
        is_coco = reading.format == "coco" or (reading.format == "auto" and seen.captions[0] in seen.coco)
        format = "coco" if is_coco else "captions"
        return _FORMS[format](place, reading, seen)
    can = [name for name, lies_there in _LIES_THERE.items() if lies_there(seen)]
    if reading.format == "auto":
        if len(can) > 1:
            raise InputError(
                f"data.source: {place.address!r} may be read as {' or as '.join(can)}; "
                f"data.format={can[0]} would say so"
            )
        format = can[0] if can else "txt" if seen.images else ""
    elif reading.format == "img2dataset":
        format = next((name for name in ("webdataset", "parquet") if name in can), "txt")
    else:
        format = reading.format
        if format in _LIES_THERE and format not in can:
            raise InputError(
                f"data.format: {format} does not lie at {place.address!r}, but {_described(seen, can)}"
            )
    if not format:
        raise InputError(
            f"data.source: {place.address!r} holds {_described(seen, can)}; needed: images with "
            f"{BESIDE[0]}, {METADATA[0]}, COCO's annotations or a .txt beside each, .tar shards or .parquet"
        )
    return _FORMS[format](place, reading, seen)


def _described(seen: _Seen, can: list[str]) -> str:
    if can:
        return " and ".join(can)
    if seen.images:
        return f"images without a file of captions ({first_few(seen.images)})"
    return f"{first_few(seen.others)}" if seen.others else "nothing"


# ---------------------------------------------------------------------- what lies there


def _look(place: DataPlace, names: Iterable[str]) -> _Seen:
    seen = _Seen()
    for name in names:
        base, suffix = posixpath.basename(name), posixpath.splitext(name)[1].lower()
        if base in METADATA:
            seen.metadata.append(name)
        elif base in BESIDE and suffix in ROW_READERS:
            seen.captions.append(name)
        elif suffix == ".tar":
            seen.tars.append(name)
        elif suffix == ".parquet":
            seen.parquets.append(name)
        elif suffix == ".json" and base.startswith(ANNOTATIONS_OF_COCO):
            seen.coco.append(name)
        elif base.lower().endswith(COMPRESSED_ENDS):
            seen.compressed.append(name)
        elif base.endswith(REPORT_OF_IMG2DATASET):
            seen.is_img2dataset = True
        elif place.named is not None and suffix in ROW_READERS:
            seen.captions.append(name)
        elif suffix in image_suffixes():
            seen.images += [name] * (len(seen.images) < 8)
        else:
            seen.others += [name] * (len(seen.others) < 8)
    for found in (seen.tars, seen.parquets, seen.metadata, seen.coco):
        found[:] = natural_order(found)
    if not place.named:
        seen.captions = _one_a_folder(seen.captions)
    whole = next((name for name in seen.parquets if not is_torn(place, name)), None)
    if seen.parquets and not holds_images(place, whole or seen.parquets[0]):
        seen.parquets = []  # of img2dataset beside its shards, say
    return seen


def _one_a_folder(captions: Sequence[str]) -> list[str]:
    """That of the place itself, which may name images in its folders; else those of the folders."""
    known = sorted(captions, key=lambda name: BESIDE.index(posixpath.basename(name)))
    of = {posixpath.dirname(name): name for name in reversed(known)}
    return [of[""]] if "" in of else natural_order(of.values())


def _all_names(place: DataPlace) -> Iterator[str]:
    """In folders of any depth."""
    return (posixpath.join(folder, name) for folder, names in place.walk() for name in names)


def _names(place: DataPlace) -> Iterator[str]:
    """Of the files at a place, and in the folders of it."""
    if place.named is not None:
        yield from place.named
        return
    folders = []
    for name, is_folder in place.entries():
        if is_folder:
            folders.append(name)
        else:
            yield name
    for folder in natural_order(folders):
        yield from (f"{folder}/{name}" for name, is_folder in place.entries(folder) if not is_folder)


def _named(place: DataPlace, captions: str) -> str:
    """A file of captions by its own path, or by that inside the place."""
    from pathlib import Path

    if place.is_local and Path(captions).expanduser().is_file():
        return str(Path(captions).expanduser().resolve())
    if place.filesystem.isfile(place.path(captions)):
        return captions
    raise InputError(f"data.captions: {captions!r} is no file, neither by itself nor in {place.address!r}")


_LIES_THERE: dict[str, Callable[[_Seen], bool]] = {
    "webdataset": lambda seen: bool(seen.tars or seen.compressed),
    "captions": lambda seen: bool(seen.captions),
    "huggingface": lambda seen: bool(seen.metadata),
    "coco": lambda seen: bool(seen.coco),
    "parquet": lambda seen: bool(seen.parquets),
}


# ---------------------------------------------------------------------- the forms


def _webdataset(place: DataPlace, reading: Reading, seen: _Seen) -> Form:
    if seen.compressed:
        raise InputError(
            f"data.source: {place.address!r} holds compressed shards ({first_few(seen.compressed)}), of "
            "which no image can be read at its place; needed: .tar, or a pattern that names others alone"
        )
    return TarShards(
        place, _by_img2dataset("webdataset", seen), seen.tars, reading.caption_field, reading.image_field
    )


def _parquet(place: DataPlace, reading: Reading, seen: _Seen) -> Form:
    fields = reading.caption_field, reading.image_field
    return ParquetImages(
        place, _by_img2dataset("parquet", seen), seen.parquets, *fields, reading.memory_bytes
    )


def _captions(place: DataPlace, reading: Reading, seen: _Seen) -> Form:
    images = reading.images
    if images is None and posixpath.isabs(seen.captions[0]):
        images = ""  # a file of captions that lies elsewhere names those of the place
    return CaptionsFiles(place, "captions", seen.captions, images, reading.caption_field)


def _huggingface(place: DataPlace, reading: Reading, seen: _Seen) -> Form:
    return CaptionsFiles(place, "huggingface", seen.metadata, reading.images, reading.caption_field)


def _coco(place: DataPlace, reading: Reading, seen: _Seen) -> Form:
    files = seen.coco if reading.captions is None else seen.captions
    if len(files) > 1:
        raise InputError(
            f"data.captions: missing; {place.address!r} holds {', '.join(files)}; one of them is needed, "
            f"as in data.captions={files[0]}"
        )
    return CaptionsFiles(
        place, "coco", files, _images_of_coco(place, reading, files[0]), reading.caption_field
    )


def _images_of_coco(place: DataPlace, reading: Reading, file: str) -> str:
    """As named; or the folder of the split, `train2014` of captions_train2014.json; or the place itself."""
    if reading.images is not None:
        return reading.images
    split = posixpath.splitext(posixpath.basename(file))[0].removeprefix(ANNOTATIONS_OF_COCO)
    return next(
        (name for name in (split, f"images/{split}", "images") if place.filesystem.isdir(place.path(name))),
        "",
    )


def _txt(place: DataPlace, reading: Reading, seen: _Seen) -> Form:
    if place.named is not None:
        raise InputError(
            f"data.source: {place.address!r} names images, not where their captions lie; needed: their folder"
        )
    return TextBeside(place, _by_img2dataset("txt", seen), reading.caption_field)


def _by_img2dataset(form: str, seen: _Seen) -> str:
    return f"{form}, by img2dataset" if seen.is_img2dataset else form


_FORMS: dict[str, Callable[[DataPlace, Reading, _Seen], Form]] = {
    "webdataset": _webdataset,
    "parquet": _parquet,
    "captions": _captions,
    "huggingface": _huggingface,
    "coco": _coco,
    "txt": _txt,
}

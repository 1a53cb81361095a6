"""Captions of anybody's images: from a text, table or annotations file, or from the images' own shards."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from evaluators.images.decoding import named
from evaluators.images.image_set import ImageSet, Subset
from space.shared.plain import InputError

NAME_FIELDS = ("file_name", "file", "filename", "image")
TEXT_FIELDS = ("caption", "text", "prompt")
BESIDE = (
    "captions.jsonl",
    "captions.csv",
    "captions.tsv",
    "captions.json",
    "captions.parquet",
    "captions.txt",
)


@dataclass(frozen=True)
class Captions:
    """Texts in the file's order, with the names of their images where the file gives them.

    `more_than_images` is for the annotations of a whole data set, of which the images may be a part.
    """

    texts: list[str]
    names: list[str] | None = None
    more_than_images: bool = False


def captions_beside(folder: Path) -> Path | None:
    """The captions file that lies in a folder of images, if one does."""
    return next((folder / name for name in BESIDE if (folder / name).is_file()), None)


def captions_of(images: ImageSet, file: str | None) -> list[str]:
    """One caption an image, in the order of the images: from `file`, or from their own shards.

    Images and captions are brought together by name (with or without folders and suffix) where the file
    names images, and by order where it doesn't.

    Raises:
        InputError: no captions, or counts or names that do not match, with the first few that lack a partner.
    """
    if file is not None:
        captions, source = read_captions(file), file
    else:
        captions, source = _inside(images), "the images' shards"
    if captions.names is not None:
        return _by_name(images.names, captions, source)
    if len(captions.texts) != len(images.names):
        raise InputError(
            f"captions: {len(captions.texts):,} in {source} for {len(images.names):,} images; without image "
            f"names they go by order, one a line"
        )
    return captions.texts


def named_in(file: str, images: ImageSet, field: str) -> ImageSet:
    """Those of the images that a captions file names, by the same rules.

    Raises:
        InputError: it names none, or images that are not there.
    """
    names = read_captions(file, field).names
    if names is None:
        raise InputError(f"{field}: {file!r} names no images, in any of {', '.join(NAME_FIELDS)}")
    for key in KEYS:
        wanted = set(map(key, names))
        indices = [index for index, name in enumerate(images.names) if key(name) in wanted]
        found = {key(images.names[index]) for index in indices}
        if len(indices) == len(found) == len(wanted):
            return Subset(images, indices)
    there = {_bare(name) for name in images.names}
    missing = [name for name in dict.fromkeys(names) if _bare(name) not in there]
    if not missing:
        raise InputError(f"{field}: {file!r} leaves open which images it means; name them by their path")
    raise InputError(f"{field}: {len(missing):,} images that {file!r} names are missing: {named(missing)}")


def read_captions(file: str, field: str = "captions") -> Captions:
    """Captions from .txt (one a line), .jsonl, .json, .csv, .tsv or .parquet.

    Rows have `caption` (or `text`, `prompt`) and, unless they go by order, `file_name` (or `file`,
    `filename`, `image`). A .json holds a list of rows or of texts, a mapping of names to texts, or COCO's
    annotations, of which an image gets the caption with the lowest id.

    Raises:
        InputError: missing, another form, or a row without its fields, which is named.
    """
    path = Path(file).expanduser()
    readers: dict[str, Callable[[Path], Captions]] = {
        ".txt": _text,
        ".jsonl": _json_lines,
        ".json": _json,
        ".csv": _table,
        ".tsv": _table,
        ".parquet": _parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{field}: {path.name!r} has no known form; allowed: {', '.join(readers)}")
    try:
        captions = reader(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{field}: {file!r} cannot be read: {error}") from None
    if not captions.texts:
        raise InputError(f"{field}: {file!r} holds none")
    return captions


# ---------------------------------------------------------------------- matching


def _inside(images: ImageSet) -> Captions:
    found = images.caption_files()
    if not found:
        raise InputError(
            "captions: missing; give captions=<file>: .txt with a line an image, or .jsonl, .csv, .parquet"
        )
    texts = []
    for _, file, text in found:
        if file.endswith(".json"):
            row = _parsed(text, file)
            caption = _field(row, TEXT_FIELDS) if isinstance(row, Mapping) else None
            if not isinstance(caption, str):
                raise InputError(f"captions: {file} holds no text under {', '.join(TEXT_FIELDS)}")
            texts.append(caption)
        else:
            texts.append(text.strip())
    return Captions(texts, [image for image, _, _ in found])


def _by_name(images: list[str], captions: Captions, source: str) -> list[str]:
    """By whole names, else without suffixes, else without folders, else without either."""
    assert captions.names is not None
    for key in KEYS:
        texts = _unique(zip(map(key, captions.names), captions.texts, strict=True))
        wanted = list(map(key, images))
        distinct = set(wanted)
        if texts is None or len(distinct) < len(wanted) or not distinct <= texts.keys():
            continue
        spare = [name for name in captions.names if key(name) not in distinct]
        if spare and not captions.more_than_images:
            raise InputError(
                f"captions: {len(spare):,} of {len(captions.names):,} in {source} lack an image: "
                f"{named(spare)}"
            )
        return [texts[name] for name in wanted]
    raise _mismatch(images, captions, source)


def _mismatch(images: list[str], captions: Captions, source: str) -> InputError:
    assert captions.names is not None
    repeated = [name for name, count in Counter(captions.names).items() if count > 1]
    if repeated:
        return InputError(f"captions: {source} names {len(repeated):,} images twice: {named(repeated)}")
    known = {_bare(name) for name in captions.names}
    without = [name for name in images if _bare(name) not in known]
    if without:
        return InputError(
            f"captions: {len(without):,} of {len(images):,} images have none in {source}: {named(without)} "
            f"(it names {named(captions.names[:2])})"
        )
    return InputError(
        f"captions: {source} names images as {named(captions.names[:2])}, which leaves open what they are "
        f"among {named(images[:2])}; name them by their path from the folder of the images"
    )


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """As a mapping, or None where a name comes twice."""
    texts: dict[str, str] = {}
    for name, text in pairs:
        if name in texts:
            return None
        texts[name] = text
    return texts


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).suffix else name


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _bare(name: str) -> str:
    return _without_suffix(_base(name))


KEYS: tuple[Callable[[str], str], ...] = (str, _without_suffix, _base, _bare)


# ---------------------------------------------------------------------- the forms


def _text(path: Path) -> Captions:
    return Captions([line.strip() for line in _lines(path)])


def _lines(path: Path) -> list[str]:
    """Ended by a line feed alone: captions may hold what Unicode and `splitlines` call the end of a line."""
    text = path.read_text("utf-8-sig").rstrip("\n")
    return text.split("\n") if text else []


def _json_lines(path: Path) -> Captions:
    lines = [line for line in _lines(path) if line.strip()]
    return _rows((_parsed(line, f"{path}, row {row}") for row, line in enumerate(lines, 1)), path)


def _json(path: Path) -> Captions:
    value = _parsed(path.read_text("utf-8-sig"), str(path))
    if isinstance(value, dict) and "annotations" in value:
        return _coco(value, path)
    if isinstance(value, dict):
        return _rows(({"file_name": name, "caption": text} for name, text in value.items()), path)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return Captions(value)
    if isinstance(value, list):
        return _rows(value, path)
    raise InputError(f"captions: {path} holds neither a list, nor a mapping, nor COCO's annotations")


def _coco(value: dict[str, Any], path: Path) -> Captions:
    try:
        names = {image["id"]: image["file_name"] for image in value["images"]}
        texts: dict[str, str] = {}
        for note in sorted(value["annotations"], key=lambda note: note["id"]):
            texts.setdefault(names[note["image_id"]], note["caption"].strip())
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"captions: {path} is not as COCO's caption annotations are ({type(error).__name__}: {error})"
        ) from None
    return Captions(list(texts.values()), list(texts), more_than_images=True)


def _table(path: Path) -> Captions:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return _rows(csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), path)


def _parquet(path: Path) -> Captions:
    from pyarrow import ArrowException, parquet

    try:
        columns = [name for name in parquet.read_schema(path).names if name in (*NAME_FIELDS, *TEXT_FIELDS)]
        return _rows(parquet.read_table(path, columns=columns).to_pylist(), path)
    except ArrowException as error:
        raise InputError(f"captions: {path} cannot be read as parquet: {error}") from None


def _rows(rows: Iterable[Any], path: Path) -> Captions:
    """Raises InputError with the number of a row that lacks its text, or its name where others have one."""
    texts: list[str] = []
    names: list[str | None] = []
    for number, row in enumerate(rows, 1):
        text = _field(row, TEXT_FIELDS) if isinstance(row, Mapping) else None
        if not isinstance(text, str):
            held = ", ".join(map(str, row)) if isinstance(row, Mapping) else repr(row)
            wanted = " or ".join(TEXT_FIELDS)
            raise InputError(f"captions: {path}, row {number} needs a text under {wanted}; it has {held}")
        name = _field(row, NAME_FIELDS)
        texts.append(text)
        names.append(name if isinstance(name, str) else None)
    given = [name for name in names if name is not None]
    if given and len(given) < len(names):
        wanted = " or ".join(NAME_FIELDS)
        raise InputError(f"captions: {path}, row {names.index(None) + 1} lacks the {wanted} that others have")
    return Captions(texts, given or None)


def _field(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"captions: {where} is not JSON: {error}") from None

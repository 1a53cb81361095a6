"""A folder of images with a captions file: checked once, decoded once where memory allows.

Captions are JSON lines (`{"file": ..., "caption": ...}`), or CSV or TSV with the header `file,caption`. An
image that cannot be read is named and left out; only too many of them stop the run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from space.shared.plain import InputError

CAPTION_FILES = ("captions.jsonl", "captions.csv", "captions.tsv")
NAMED_AT_MOST = 5  # unreadable files in a message


class FolderPictures:
    """Images of a folder, (N, H, W, 3) uint8 in memory (`pixels_in_memory`) or decoded for each batch."""

    def __init__(self, files: list[Path], names: list[str], captions: list[str], image_size_px: int) -> None:
        self.captions, self.unreadable = captions, list[str]()
        self.pixels_in_memory: np.ndarray | None = None
        self._files, self._names, self._size = files, names, image_size_px

    def pixels(self, indices: Sequence[int]) -> np.ndarray:
        """(B, H, W, 3) uint8. Raises InputError where a file has become unreadable since it was checked."""
        if self.pixels_in_memory is not None:
            return self.pixels_in_memory[np.asarray(indices, dtype=np.int64)]
        with ThreadPoolExecutor() as pool:  # PIL decodes outside Python's lock
            decoded = list(pool.map(lambda index: _decode(self._files[index], self._size), indices))
        for index, picture in zip(indices, decoded, strict=True):
            if picture is None:
                raise InputError(f"{self._files[index]}: cannot be read any more as an image")
        return np.stack([picture for picture in decoded if picture is not None])

    def content(self) -> Iterable[bytes | memoryview]:
        """Pixels where they are in memory; names and sizes on disk where they are too many for that."""
        if self.pixels_in_memory is not None:
            return [self.pixels_in_memory.data]
        stated = zip(self._names, self._files, strict=True)
        return [f"{name}:{file.stat().st_size};".encode() for name, file in stated]


def open_folder(
    folder: str, captions: str | None, image_size_px: int, *, max_unreadable_share: float, memory_mib: int
) -> FolderPictures:
    """Read the captions, check every image, and keep the decoded ones if they fit `memory_mib`.

    Beyond that every image is still decoded once, to be sure that it can be, but not kept.

    Raises:
        InputError: no such folder, captions of the wrong form, no image, or too many unreadable ones.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"folder: {folder!r} is no folder; give the one that holds the images")
    rows = list(_rows(_captions_file(root, captions)))
    files = [root / name for name, _ in rows]
    keep = len(files) * image_size_px**2 * 3 <= memory_mib * 2**20

    def read(file: Path) -> np.ndarray | bool | None:
        picture = _decode(file, image_size_px)
        return picture if keep or picture is None else True

    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(read, files))
    readable = [index for index, picture in enumerate(decoded) if picture is not None]
    unreadable = [rows[index][0] for index, picture in enumerate(decoded) if picture is None]
    _check_unreadable(unreadable, len(rows), max_unreadable_share)
    pictures = FolderPictures(
        [files[index] for index in readable],
        [rows[index][0] for index in readable],
        [rows[index][1] for index in readable],
        image_size_px,
    )
    pictures.unreadable = unreadable
    if keep:
        pictures.pixels_in_memory = np.stack(
            [picture for picture in decoded if isinstance(picture, np.ndarray)]
        )
    return pictures


def named(unreadable: list[str]) -> str:
    """The first few unreadable files, for a message."""
    more = len(unreadable) - NAMED_AT_MOST
    return ", ".join(unreadable[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _decode(file: Path, image_size_px: int) -> np.ndarray | None:
    """(H, W, 3) uint8: the centre square, resized. None where the file cannot be read as an image."""
    try:
        with Image.open(file) as image:
            # Decode JPEGs near the target size: several times faster on photographs.
            image.draft("RGB", (image_size_px, image_size_px))
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            return np.asarray(square.resize((image_size_px, image_size_px), Image.Resampling.LANCZOS))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _check_unreadable(unreadable: list[str], count: int, max_share: float) -> None:
    if len(unreadable) == count or len(unreadable) > max_share * count:
        raise InputError(
            f"folder: {len(unreadable)} of {count} images cannot be read ({named(unreadable)}); "
            f"allowed: at most {max_share:.0%} (max_unreadable_share)"
        )


def _captions_file(root: Path, captions: str | None) -> Path:
    """A path of its own, or one inside the folder."""
    if captions is None:
        for name in CAPTION_FILES:
            if (root / name).is_file():
                return root / name
        raise InputError(f"captions: none of {', '.join(CAPTION_FILES)} stands in {str(root)!r}")
    for file in (Path(captions), root / captions):
        if file.is_file():
            return file
    raise InputError(f"captions: {captions!r} is no file, neither by itself nor in {str(root)!r}")


def read_captions(file: str | Path) -> list[str]:
    """Captions to draw: one a line of a .txt, or those of a captions file, which need name no images here.

    Raises:
        InputError: no such file, another form, or an empty line, by its number.
    """
    path = Path(file).expanduser()
    if path.suffix.lower() != ".txt":
        return [_text_of(path, line, caption) for line, _, caption in _parsed(path, (".txt",))]
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"captions: {path} cannot be read as UTF-8 text: {error}") from None
    return [_text_of(path, number, line.strip() or None) for number, line in enumerate(lines, start=1)]


def _text_of(file: Path, line: int, caption: object) -> str:
    if not isinstance(caption, str):
        raise InputError(f"{file}, line {line}: needs the text of a caption")
    return caption


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """(file, caption) of each line. Raises InputError with the line's number."""
    rows = _parsed(file)
    if not rows:
        raise InputError(f"captions: {file} names no image")
    for line, name, caption in rows:
        if not isinstance(name, str) or not isinstance(caption, str) or not name:
            raise InputError(f"{file}, line {line}: needs the texts 'file' and 'caption'")
        yield name, caption


def _parsed(file: Path, other_forms: tuple[str, ...] = ()) -> list[tuple[int, object, object]]:
    """(line, file, caption), the latter two as they stand."""
    readers = {".jsonl": _json_rows, ".csv": _table_rows, ".tsv": _table_rows}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        allowed = ", ".join(sorted([*readers, *other_forms]))
        raise InputError(f"captions: {file.name!r} has no known form; allowed: {allowed}")
    try:
        return list(reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"captions: {file} cannot be read as UTF-8 text: {error}") from None


def _json_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{file}, line {number}: not JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise InputError(f"{file}, line {number}: expected {{'file': ..., 'caption': ...}}")
            yield number, row.get("file"), row.get("caption")


def _table_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, delimiter=delimiter)
        header = table.fieldnames or []
        if not {"file", "caption"} <= set(header):
            raise InputError(f"{file}, line 1: the header is {list(header)}; needed: file, caption")
        for row in table:
            yield table.line_num, row["file"], row["caption"]

"""What a command writes where its user says: a folder or a file that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from space.shared.files import making_folder, replacing
from space.shared.plain import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def free_folder(out: str) -> Path:
    """A place for one. Raises InputError where something is there, but for an empty folder that is not the
    one that the user is in: another takes its place."""
    folder = Path(out).expanduser()
    is_empty = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    here = is_empty and folder.samefile(Path.cwd())
    if here or (not is_empty and (folder.exists() or folder.is_symlink())):
        raise InputError(f"out: {out!r} is there already; allowed: a new folder")
    return folder


def refuse_used_file(out: str) -> None:
    """Before what takes long. Raises InputError where a file or a folder is there, or none can be; pipes, and
    whatever /dev names, are written to."""
    try:
        path = Path(out).expanduser().absolute()
        if path.parts[1:2] != ("dev",) and (path.is_file() or path.is_dir()):
            raise InputError(f"out: {out!r} is there already; allowed: a new file")
        above = next(folder for folder in path.parents if folder.exists())
    except (OSError, RuntimeError) as error:
        raise InputError(f"out: {out} cannot be written: {error}") from None
    if not above.is_dir():
        raise InputError(f"out: {out} cannot be written: {above} is no folder")


@contextmanager
def writing_folder(out: Path) -> Iterator[Path]:
    """One that becomes `out` once all is in it. Raises InputError where that cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with making_folder(out) as folder:
            folder.mkdir()
            yield folder
    except OSError as error:
        raise InputError(f"out: {str(out)!r} cannot be written: {error}") from None


@contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` once the block is done. A pipe, or whatever /dev names, is
    written as it is, and of a link what it leads to. Raises OSError."""
    path = path.expanduser().absolute()
    if path.parts[1:2] == ("dev",) or (path.exists() and not path.is_file()):
        yield path
        return
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as own:
        yield own


def save_image(image: Image, path: Path) -> None:
    """In the format that the file's ending names. Raises OSError, and ValueError where it names none."""
    from PIL import Image as images

    kind = images.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"unknown file extension: {path.suffix}")
    with writing_file(path) as own:
        image.save(own, format=kind)

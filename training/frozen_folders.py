"""What lies in the folders of frozen models that a training names: the same wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from space.interchange.weight_files import SUFFIXES
from space.shared.files import file_digest
from space.shared.plain import InputError
from training.hub import is_address, is_read
from training.pretrained import LATENTS_FOLDER, TEXT_FOLDER, local_folder, tokenizer_folder
from training.settings import TrainingSettings

DESCRIPTIONS = (".json", ".txt", ".model")  # configurations, vocabularies, merges
Part = tuple[str, bytes]


def folder_digests(settings: TrainingSettings) -> dict[str, str]:
    """A digest for each folder that the settings read, by its field.

    Raises:
        InputError: a folder that cannot be read.
    """
    folders = {}
    if settings.text.encoder == "clip":
        folders[TEXT_FOLDER] = settings.text.folder
    if settings.latents.codec == "vae":
        folders[LATENTS_FOLDER] = settings.latents.folder
    return {field: frozen_digest(field, folder) for field, folder in folders.items() if folder is not None}


def frozen_digest(field: str, folder: str) -> str:
    """Of one of the two fields. Raises InputError where it cannot be read."""
    try:
        return digest_of_parts(frozen_parts(field.partition(".")[0], folder))
    except OSError as error:
        raise InputError(f"{field}: {folder!r} cannot be read: {error.strerror}") from None


def frozen_parts(name: str, folder: str | Path) -> Iterator[Part]:
    """Of the `text` encoder, with its tokenizer wherever that lies, or the autoencoder of `latents`."""
    field = {"text": TEXT_FOLDER, "latents": LATENTS_FOLDER}[name]
    read: Callable[[str], bool] = is_read if is_address(folder) else lambda name: True
    folder = local_folder(folder, field)
    yield from folder_parts(folder, name, read)
    if name == "text":
        tokenizer = tokenizer_folder(folder, field)
        if not tokenizer.samefile(folder):
            yield from folder_parts(tokenizer, "tokenizer", read)


def folder_parts(
    folder: Path, name: str, is_read: Callable[[str], bool] = lambda name: True
) -> Iterator[Part]:
    """The files of a model's folder that it is loaded from, each with its own digest."""
    files = sorted(file for file in folder.iterdir() if is_read(file.name))
    weights = next((suffix for suffix in SUFFIXES if any(file.suffix == suffix for file in files)), None)
    for file in filter(Path.is_file, files):
        if file.suffix in DESCRIPTIONS or file.suffix == weights:
            yield f"{name}/{file.name}", unchanged_digest(file)


def unchanged_digest(file: Path) -> bytes:
    """Its SHA-256, read once a process while the file stays as it is: every trial asks."""
    status = file.stat()
    return _digest(str(file.absolute()), status.st_size, status.st_mtime_ns)


def digest_of_parts(parts: Iterable[Part]) -> str:
    """Sixteen hexadecimal digits."""
    sha = hashlib.sha256()
    for name, content in parts:
        sha.update(f"{name} {len(content)}\n".encode() + content)
    return sha.hexdigest()[:16]


@cache
def _digest(file: str, size: int, changed_ns: int) -> bytes:
    return file_digest(Path(file))

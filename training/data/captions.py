"""Captions: their words, prompts to generate from, and what a folder's captions file says of its images."""

from __future__ import annotations

from pathlib import Path

from space.shared.captions import BESIDE, NAME_FIELDS, captions_beside, read_captions
from space.shared.plain import InputError
from space.shared.prompt_styles import style_prompts


def words(caption: str) -> list[str]:
    """Lower-case words of a caption, without the punctuation around them."""
    stripped = (word.strip(".,;:!?\"'()") for word in caption.lower().split())
    return [word for word in stripped if word]


def captions_file(root: Path, captions: str | None) -> Path:
    """A path of its own, or one inside the folder."""
    if captions is None:
        beside = captions_beside(root)
        if beside is None:
            raise InputError(f"captions: none of {', '.join(BESIDE)} stands in {str(root)!r}")
        return beside
    for file in (Path(captions), root / captions):
        if file.is_file():
            return file
    raise InputError(f"captions: {captions!r} is no file, neither by itself nor in {str(root)!r}")


def read_prompts(file: str | Path) -> list[str]:
    """Captions to generate images of: of a file, which need name none, or of a folder of prompts by style.

    Raises:
        InputError: as `read_captions` and `style_prompts`.
    """
    prompts = style_prompts(file)
    return read_captions(file).texts if prompts is None else prompts.texts


def captioned_files(file: Path) -> list[tuple[str, str]]:
    """(file, caption) of each image. Raises InputError as `read_captions`, and where it names no images."""
    captions = read_captions(file)
    if captions.names is None:
        raise InputError(f"captions: {file} names no images, in any of {', '.join(NAME_FIELDS)}")
    return list(zip(captions.names, captions.texts, strict=True))

"""Prompts of a benchmark that has a file for each style, as that of HPS v2: a list of texts in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from space.shared.captions import read_captions
from space.shared.plain import InputError

PROMPT_STYLES = ("anime", "concept-art", "paintings", "photo")


@dataclass(frozen=True)
class StylePrompts:
    """The prompts of each style, in the order of its file."""

    by_style: Mapping[str, list[str]]

    @property
    def texts(self) -> list[str]:
        """Of one style after another."""
        return [text for texts in self.by_style.values() for text in texts]


def style_prompts(place: str | Path, field: str = "captions") -> StylePrompts | None:
    """Of the folder that holds all the files, or of one of them; None for any other file.

    Raises:
        InputError: a folder that lacks one of them, or a file that cannot be read.
    """
    path = Path(place).expanduser()
    if not path.is_dir():
        return _one_style(path, field) if path.stem in PROMPT_STYLES and path.suffix == ".json" else None
    files = {style: path / f"{style}.json" for style in PROMPT_STYLES}
    lacking = [file.name for file in files.values() if not file.is_file()]
    if lacking:
        raise InputError(
            f"{field}: the folder {str(place)!r} lacks {', '.join(lacking)}; allowed: a file of captions, or "
            f"a folder with {', '.join(file.name for file in files.values())}"
        )
    return StylePrompts({style: _texts(file, field) for style, file in files.items()})


def _one_style(path: Path, field: str) -> StylePrompts | None:
    """None where the file names images: then it is a file of captions as any."""
    captions = read_captions(path, field)
    return StylePrompts({path.stem: captions.texts}) if captions.names is None else None


def _texts(path: Path, field: str) -> list[str]:
    captions = read_captions(path, field)
    if captions.names is not None:
        raise InputError(f"{field}: {path} names images; needed: a list of texts")
    return captions.texts

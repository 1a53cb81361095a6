"""Where presets of the user's own lie: folders of `<group>/<name>.yaml` beside those of this package.

`--config-dir` of a command line names them, the variable MDSEARCH_CONFIG_DIR, and `config_dir` in the section
`[tool.mdsearch]` of the nearest pyproject.toml that has one. All that are named count. A preset that stands
in two of them, or has the name of a built-in one, is refused: what a name means depends on no order.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unicodedata import normalize

from space.shared.plain import InputError, nearest

OPTION, VARIABLE, FIELD = "--config-dir", "MDSEARCH_CONFIG_DIR", "config_dir"
ENDINGS = (".yaml", ".yml")
_named: ContextVar[tuple[str, ...]] = ContextVar("folders that a command line names", default=())


def divided_option(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """The folders that `--config-dir` names in a command line, and the words without it.

    >>> divided_option(["search", "--config-dir", "mine", "trials=3", "--config-dir=ours"])
    (['mine', 'ours'], ['search', 'trials=3'])
    """
    folders, rest = [], []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name != OPTION:
            rest.append(word)
            continue
        value = value if equals else next(remaining, "")
        if not value:
            raise InputError(f"{OPTION}: a folder is missing; write {OPTION} folder")
        folders.append(value)
    return folders, rest


@contextmanager
def config_folders(folders: Iterable[str | Path]) -> Iterator[None]:
    """Within the block presets are looked for in these folders too."""
    token = _named.set((*_named.get(), *map(str, folders)))
    try:
        yield
    finally:
        _named.reset(token)


def config_options() -> list[str]:
    """The words by which another command line finds what this one was told of by `--config-dir`."""
    return [word for folder in _named.get() for word in (OPTION, folder)]


def own_files(groups: Collection[str]) -> dict[str, dict[str, Path]]:
    """Group -> preset -> its file, of all folders that are named.

    Raises:
        InputError: one that is no folder, holds no preset of these groups, or has a group misspelt; a preset
            that stands in two of them.
    """
    found: dict[str, dict[str, Path]] = {}
    for where, folder in _folders().items():
        for group, name, file in _presets_in(where, folder, groups):
            other = found.setdefault(group, {}).setdefault(name, file)
            if other != file:
                raise InputError(f"{group}={name}: stands in {other} and in {file}; allowed: one of them")
    return found


def _folders() -> dict[str, Path]:
    """Who names a folder -> the folder, each folder once."""
    said = [(OPTION, Path(), text) for text in _named.get()]
    said += [(VARIABLE, Path(), text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    said += _of_project()
    found: dict[Path, str] = {}
    for where, beside, text in said:
        folder = (beside / Path(text).expanduser()).resolve()
        if not folder.is_dir():
            raise InputError(f"{where}: {text!r} is no folder (from {beside.resolve()})")
        found.setdefault(folder, f"{where} {text}")
    return {where: folder for folder, where in found.items()}


def _of_project() -> list[tuple[str, Path, str]]:
    """What the nearest pyproject.toml with a section of ours says, from the current folder upwards."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        file = folder / "pyproject.toml"
        section = _section(file)
        if section is None:
            continue
        for key in section:
            if key != FIELD:
                raise InputError(f"{file}: tool.mdsearch.{key}: no such key; {nearest(key, [FIELD])}")
        value = section.get(FIELD, [])
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            raise InputError(
                f"{file}: tool.mdsearch.{FIELD}: {value!r} is no folder; allowed: text, or a list"
            )
        return [(f"{file}: tool.mdsearch.{FIELD}", folder, text) for text in texts]
    return []


def _section(file: Path) -> Mapping[str, Any] | None:
    """`[tool.mdsearch]`; None where there is none, or no file that can be read."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if "mdsearch" not in text:
        return None
    try:
        section = tomllib.loads(text).get("tool", {}).get("mdsearch")
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    return section if isinstance(section, Mapping) else None


def _presets_in(where: str, folder: Path, groups: Collection[str]) -> list[tuple[str, str, Path]]:
    found = [
        (group, normalize("NFC", file.stem), file)
        for group in sorted(groups)
        for file in _yaml(folder / group)
    ]
    for inside in sorted(folder.iterdir()):
        close = difflib.get_close_matches(inside.name, groups, 1, 0.8)
        if inside.name not in groups and close and _yaml(inside):
            raise InputError(f"{where}: {inside.name}/ is no group of presets; did you mean {close[0]!r}?")
    if not found:
        listed = ", ".join(sorted(groups))
        raise InputError(f"{where}: holds no <group>/<name>.yaml; groups: {listed}")
    return found


def _yaml(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [file for file in sorted(folder.iterdir()) if file.suffix in ENDINGS and file.is_file()]

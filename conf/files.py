"""YAML as text: which groups there are, which presets each holds, here and in folders of the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from conf.folders import ENDINGS, own_files
from space.shared.plain import InputError

PACKAGE = "conf"
_HEADER = re.compile(r"(?:\s*#[^\n]*\n|\s*\n)*?\s*#\s*@package\s+(\S+)")


def presets_of(package: str) -> dict[str, dict[str, str]]:
    """Group -> preset -> the text of its file: built-in ones, then the user's.

    Raises:
        InputError: a preset of theirs has the name of a built-in one.
    """
    found = dict(built_in(package))
    for group, files in own_files(found).items():
        for preset, file in files.items():
            if preset in found[group]:
                raise InputError(
                    f"{file}: {group}={preset} is built in, and a preset of your own does not replace it; "
                    "give the file another name"
                )
        found[group] = found[group] | {preset: text_of_file(file, group) for preset, file in files.items()}
    return found


@cache
def built_in(package: str) -> dict[str, dict[str, str]]:
    """The presets of a package. A group is a folder of it that holds YAML."""
    found: dict[str, dict[str, str]] = {}

    def walk(folder: Traversable, group: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.is_dir():
                walk(entry, f"{group}/{entry.name}" if group else entry.name)
            elif group and entry.name.endswith(".yaml"):
                preset = entry.name.removesuffix(".yaml")
                found.setdefault(group, {})[preset] = entry.read_text("utf-8")

    walk(resources.files(package), "")
    return found


def text_of_file(file: Path, group: str) -> str:
    """What a file of the user's holds. Raises InputError, naming the group, if it cannot be read."""
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{group}: {file} cannot be read: {reason}") from None


def main_text(main: str, package: str) -> str:
    """What `<package>/<main>.yaml` holds."""
    return (resources.files(package) / f"{main}.yaml").read_text("utf-8")


def preset_text(folders: Mapping[str, Mapping[str, str]], group: str, preset: str) -> str:
    """What the file of a group's preset holds, which may be a file by its path; empty where there is none."""
    known = folders.get(folder_of(group), {})
    if preset not in known and is_path(preset):
        return text_of_file(Path(preset).expanduser(), group)
    return known.get(preset, "")


def is_path(preset: str) -> bool:
    """Whether it names a file, and not a preset by its name."""
    return unquoted(preset).endswith(ENDINGS) or "/" in preset


def unquoted(text: str) -> str:
    """The text without the quotes that Hydra's grammar needs around much of it."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return text
    return re.sub(r"\\([\\\"'$])", r"\1", text[1:-1])


def package_of(text: str) -> str | None:
    """Where the fields of a preset go, as its head says (`# @package _global_`); None: into its group."""
    head = _HEADER.match(text)
    return head and head.group(1)


def is_whole(text: str) -> bool:
    """Whether a preset sets fields of the whole, not of its group: a complete configuration."""
    return package_of(text) == "_global_"


def folder_of(group: str) -> str:
    """The folder of a group that may be placed elsewhere: `arch@reference` is read from `arch`."""
    return group.partition("@")[0]


def names_preset(override: Any, folders: Mapping[str, Any]) -> bool:
    """Hydra's own reading: `budget=md` chooses a preset, `budget={gmacs: 200}` sets fields."""
    return override.key_or_group in folders and (
        override.is_delete() or not isinstance(override.value(), dict)
    )

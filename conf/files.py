"""The YAML of this package as text: which groups there are, which presets each holds."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

PACKAGE = "conf"
WHOLE = "# @package _global_"


def presets_of(package: str) -> dict[str, dict[str, str]]:
    """Group -> preset -> the text of its file. A group is a folder of the package that holds YAML."""
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


def main_text(main: str, package: str) -> str:
    """What `<package>/<main>.yaml` holds."""
    return (resources.files(package) / f"{main}.yaml").read_text("utf-8")


def preset_text(folders: Mapping[str, Mapping[str, str]], group: str, preset: str) -> str:
    """What the file of a group's preset holds; empty where there is none."""
    return folders.get(folder_of(group), {}).get(preset, "")


def is_whole(text: str) -> bool:
    """Whether a preset sets fields of the whole, not of its group: a complete configuration."""
    return text.startswith(WHOLE)


def folder_of(group: str) -> str:
    """The folder of a group that may be placed elsewhere: `arch@reference` is read from `arch`."""
    return group.partition("@")[0]


def names_preset(override: Any, folders: Mapping[str, Any]) -> bool:
    """Hydra's own reading: `budget=md` chooses a preset, `budget={gmacs: 200}` sets fields."""
    return override.key_or_group in folders and (
        override.is_delete() or not isinstance(override.value(), dict)
    )

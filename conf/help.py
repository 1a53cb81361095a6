"""What `--help` of a command prints, all of it from the command's YAML.

The comment at the head of `<main>.yaml` is the introduction, and its part behind "Examples:" the examples;
groups, presets and fields follow with their defaults, and what the comments beside them say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from conf.composition import choices
from conf.files import PACKAGE, folder_of, is_whole, main_text, preset_text, presets_of

EXAMPLES_TITLE = "Examples:"


def help_text(main: str, *, package: str = PACKAGE) -> str:
    """The introduction, how to write overrides, the groups and presets, the fields, examples."""
    chosen = choices(main, package)
    intro, examples = _head(main_text(main, package))
    lines = [*intro, "", "Write any of what follows as name=value, in any order:", ""]
    for group, presets in groups(main, package=package).items():
        lines.append(f"{group}=... (default {chosen[group]})")
        lines += _columns((f"  {preset}", text) for preset, text in presets.items())
        lines.append("")
    lines += ["Fields, with their defaults:"]
    lines += _columns((f"  {name}={value}", comment) for name, value, comment in _fields(main, package))
    return "\n".join([*lines, "", *examples]).rstrip()


def _head(text: str) -> tuple[list[str], list[str]]:
    """The lines of the comment that a file begins with: up to its examples, and those."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    comment = [line.removeprefix("#").removeprefix(" ").rstrip() for line in lines]
    at = comment.index(EXAMPLES_TITLE) if EXAMPLES_TITLE in comment else len(comment)
    return comment[: at and at - 1], comment[at:]


def groups(main: str, *, package: str = PACKAGE) -> dict[str, dict[str, str]]:
    """The groups that `main` chooses from: group -> preset -> the first comment line of its file."""
    folders = presets_of(package)
    return {
        name: {preset: _description(text) for preset, text in folders[folder_of(name)].items()}
        for name in choices(main, package)
        if folder_of(name) in folders
    }


def _description(text: str) -> str:
    lines = (line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    return next((line for line in lines if not line.startswith("@package")), "")


def _columns(rows: Iterable[tuple[str, str]], widest: int = 44) -> list[str]:
    rows = list(rows)
    width = min(widest, max((len(left) for left, _ in rows), default=0))
    return [f"{left:<{width}}  {right}".rstrip() for left, right in rows]


def _fields(main: str, package: str) -> Iterator[tuple[str, str, str]]:
    """(dotted name, default as written, comment beside it) of `main` and of its default presets."""
    import yaml

    sources = [("", main_text(main, package))]
    folders = presets_of(package)
    for name, preset in choices(main, package).items():
        text = preset_text(folders, name, preset)
        sources.append(("" if is_whole(text) else name.split("@")[-1].replace("/", "."), text))
    for prefix, text in sources:
        root = yaml.compose(text)
        if isinstance(root, yaml.MappingNode):
            yield from _leaves(root, prefix, text.splitlines())


def _leaves(mapping: Any, prefix: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    import yaml

    for key, value in mapping.value:
        if not prefix and key.value in ("defaults", "hydra"):
            continue
        name = f"{prefix}.{key.value}" if prefix else key.value
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            yield from _leaves(value, name, lines)
            continue
        line = lines[key.start_mark.line]
        end = value.end_mark.column if value.end_mark.line == key.start_mark.line else key.end_mark.column
        comment = line[end:].partition("#")[2].strip()
        yield name, _as_written(value, lines), comment


def _as_written(value: Any, lines: list[str]) -> str:
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    return "[...]"

"""What `--help` of a command prints, all of it from the command's YAML.

The comment at the head of `<main>.yaml` is the introduction, and its part behind "Examples:" the examples;
groups, presets and fields follow with their defaults, and what the comments beside them say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conf.composition import MISSING, choices
from conf.errors import check_chosen_here, check_preset
from conf.files import PACKAGE, folder_of, is_whole, main_text, names_preset, preset_text, presets_of
from conf.words import SAME, in_words_of_today, parsed_word

EXAMPLES_TITLE = "Examples:"


def help_text(main: str, words: Iterable[str] = (), *, package: str = PACKAGE) -> str:
    """The introduction, how to write overrides, the groups and presets, the fields, examples.

    Args:
        words: of a command line; the fields are those of the presets that it chooses.

    Raises:
        InputError: a preset that there is not, or a group that is not chosen from here.
    """
    usual = choices(main, package)
    chosen, there = _chosen(main, words, package, usual), _groups(usual, package)
    intro, examples = _head(main_text(main, package))
    lines = [*intro, "", "Write any of what follows as name=value, in any order:", ""]
    for group, presets in there.items():
        here = "" if chosen[group] == usual[group] else f"; here {chosen[group]}"
        lines.append(f"{group}=...{_also_called(main, group)} (default {usual[group]}{here})")
        lines += _columns((f"  {preset}", text) for preset, text in presets.items())
        lines.append("")
    lines += ["Fields, with their defaults:"]
    lines += _columns(map(_field_row, fields(main, chosen, package)))
    if other := _other_fields(chosen, there, package):
        command = f"mdsearch {main.replace('_', ' ')} {other} --help"
        lines += ["", f"Other presets have other fields, which help shows beside them: {command}"]
    return "\n".join([*lines, "", *examples]).rstrip()


def _also_called(main: str, group: str) -> str:
    """By what name of other commands it may be given."""
    return "".join(f", or {name}=..." for name, own in SAME.get(main, {}).items() if own == group)


def _chosen(main: str, words: Iterable[str], package: str, usual: dict[str, str]) -> dict[str, str]:
    """Group -> preset, with those that the words choose."""
    folders = presets_of(package)
    of_groups = [word for word in words if folder_of(word.lstrip("+~").partition("=")[0]) in folders]
    parsed = [parsed_word(in_words_of_today(word, main)) for word in of_groups]
    chosen = [each for each in parsed if names_preset(each, folders) and not each.is_sweep_override()]
    for override in chosen:
        check_preset(override, folders[override.key_or_group])
        check_chosen_here(override, usual)
    if not chosen:
        return usual
    return choices(main, package, [override.input_line for override in chosen])


def _field_row(field: tuple[str, str, str]) -> tuple[str, str]:
    name, value, comment = field
    if value == MISSING:
        return f"  {name}=...", f"required: {comment}"
    return f"  {name}={value}", comment


def _other_fields(chosen: Mapping[str, str], there: Mapping[str, Mapping[str, str]], package: str) -> str:
    """The first choice, as a word, of a preset that has fields which the chosen one of its group lacks."""
    folders = presets_of(package)
    for group in there:
        if not any("\nname: " in preset_text(folders, group, preset) for preset in there[group]):
            continue  # presets of one kind have the same fields, or nearly so
        shown = {name for name, _, _ in fields_of_preset(folders, group, chosen[group])}
        for preset in there[group]:
            if {name for name, _, _ in fields_of_preset(folders, group, preset)} - shown:
                return f"{group}={preset}"
    return ""


def _head(text: str) -> tuple[list[str], list[str]]:
    """The lines of the comment that a file begins with: up to its examples, and those."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    comment = [line.removeprefix("#").removeprefix(" ").rstrip() for line in lines]
    at = comment.index(EXAMPLES_TITLE) if EXAMPLES_TITLE in comment else len(comment)
    return comment[: at and at - 1], comment[at:]


def groups(main: str, *, package: str = PACKAGE) -> dict[str, dict[str, str]]:
    """The groups that `main` chooses from: group -> preset -> the first comment line of its file."""
    return _groups(choices(main, package), package)


def _groups(chosen: Iterable[str], package: str) -> dict[str, dict[str, str]]:
    folders = presets_of(package)
    return {
        name: {preset: _description(text) for preset, text in folders[folder_of(name)].items()}
        for name in chosen
        if folder_of(name) in folders
    }


def _description(text: str) -> str:
    lines = (line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    return next((line for line in lines if not line.startswith("@package")), "")


def _columns(rows: Iterable[tuple[str, str]], widest: int = 44) -> list[str]:
    rows = list(rows)
    width = min(widest, max((len(left) for left, _ in rows), default=0))
    return [f"{left:<{width}}  {right}".rstrip() for left, right in rows]


def fields(main: str, chosen: Mapping[str, str], package: str = PACKAGE) -> Iterator[tuple[str, str, str]]:
    """(dotted name, default as written, comment beside it) of `main` and of the presets chosen."""
    yield from _of_text(main_text(main, package), "")
    folders = presets_of(package)
    for group, preset in chosen.items():
        yield from fields_of_preset(folders, group, preset)


def fields_of_preset(
    folders: Mapping[str, Mapping[str, str]], group: str, preset: str
) -> Iterator[tuple[str, str, str]]:
    """The same of one preset, with those of presets of its group that it begins with."""
    text = preset_text(folders, group, preset)
    found: dict[str, tuple[str, str, str]] = {}
    for base in _begins_with(text):
        found |= {row[0]: row for row in fields_of_preset(folders, group, base)}
    for name, value, comment in _of_text(
        text, "" if is_whole(text) else group.split("@")[-1].replace("/", ".")
    ):
        found[name] = name, value, comment or found.get(name, ("", "", ""))[2]
    yield from found.values()


def _begins_with(text: str) -> list[str]:
    """Presets of its own group in a preset's defaults list."""
    import yaml

    plain = yaml.safe_load(text)
    defaults = plain.get("defaults", []) if isinstance(plain, dict) and not is_whole(text) else []
    return [name for name in defaults if isinstance(name, str) and name != "_self_" and "/" not in name]


def _of_text(text: str, prefix: str) -> Iterator[tuple[str, str, str]]:
    import yaml

    root = yaml.compose(text)
    if isinstance(root, yaml.MappingNode):
        yield from _leaves(root, prefix, text.splitlines())


def _leaves(mapping: Any, prefix: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    import yaml

    for key, value in mapping.value:
        if mapping.start_mark.column == 0 and key.value in ("defaults", "hydra"):
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

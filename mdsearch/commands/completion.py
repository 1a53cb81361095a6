"""`mdsearch completion bash`: what lets a shell complete our words, of the table of commands and of conf/.

All that there is to complete is written into the script, so that the tab key waits for no Python.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from conf.compose import compose
from conf.composition import choices
from conf.files import PACKAGE, folder_of, presets_of
from conf.help import fields, fields_of_preset
from conf.words import divided
from mdsearch.commands import FLAT
from space.shared.plain import InputError, from_plain

SWEPT = ("search", "replay")  # take -m


@dataclass(frozen=True)
class CompletionSettings:
    """What conf/completion.yaml holds."""

    shell: Literal["bash", "zsh"] | None = None


def main(words: list[str]) -> int:
    named, chosen = divided(words)
    given = [*(f"shell={name}" for name in named), *chosen]
    settings: CompletionSettings = from_plain(CompletionSettings, compose("completion", given))
    if settings.shell is None:
        raise InputError("shell: missing; write mdsearch completion bash, or zsh")
    print(script(settings.shell))
    return 0


def script(shell: Literal["bash", "zsh"]) -> str:
    """The whole of it, to be sourced."""
    text = _part("common")
    for function, answers in _answers().items():
        branches = [_branch(asked, found) for asked, found in sorted(answers.items())]
        text = text.replace(f"@{function}@", "\n".join(filter(None, branches)))
    return f"{'#compdef mdsearch' if shell == 'zsh' else ''}\n{text}{_part(shell)}".strip()


def _part(name: str) -> str:
    return resources.files("mdsearch").joinpath("completion", f"{name}.sh").read_text("utf-8")


def _answers() -> dict[str, dict[str, list[str]]]:
    """What each function of the script answers, by its argument."""
    folders = presets_of(PACKAGE)
    usual = {command: choices(command.replace(" ", "_"), PACKAGE) for command in FLAT}
    groups = {group for chosen in usual.values() for group in chosen}
    return {
        "subcommands": _subcommands(),
        "names": {command: _names(command, chosen) for command, chosen in usual.items()},
        "presets": {folder_of(group): list(folders[folder_of(group)]) for group in groups},
        "chosen": {
            f"{command} {group}": [preset]
            for command, chosen in usual.items()
            for group, preset in chosen.items()
        },
        "fields": {
            f"{group} {preset}": _assigned(fields_of_preset(folders, group, preset))
            for group in groups
            for preset in folders[folder_of(group)]
        },
    }


def _names(command: str, chosen: dict[str, str]) -> list[str]:
    own = _assigned(fields(command.replace(" ", "_"), {}))
    sweeps = ["-m"] if command in SWEPT else []
    return [*(f"{group}=" for group in chosen), *own, *sweeps, "--help"]


def _assigned(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    return [f"{name}=" for name, _, _ in rows]


def _subcommands() -> dict[str, list[str]]:
    firsts = {command.partition(" ")[0] for command in FLAT}
    found = {"": [*sorted(firsts), "--help", "--version"], "completion": ["bash", "zsh"]}
    for command in FLAT:
        first, _, second = command.partition(" ")
        if second:
            found.setdefault(first, []).append(second)
    return found


def _branch(asked: str, found: Iterable[str]) -> str:
    names = " ".join(map(shlex.quote, found))
    return f"    {shlex.quote(asked)}) printf '%s\\n' {names} ;;" if names else ""

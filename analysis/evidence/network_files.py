"""Networks as files of one folder, and the search that trains them: for the commands `again` and `pairs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.architecture import Architecture
from space.shared.command_lines import setting_word, typed_line
from space.shared.files import replacing_files
from space.shared.plain import InputError


@dataclass(frozen=True)
class NetworkFile:
    """A network to train: what its file is called after its number, and the comment at the file's head."""

    name: str
    architecture: Architecture
    comment: str


def write_networks(networks: Sequence[NetworkFile], out: str) -> list[str]:
    """The names of the files in the folder `out`, which sort in the order of the networks.

    Raises:
        InputError: a folder with other .yaml files, or that cannot be written.
    """
    folder = Path(out)
    names = [f"{number:03d}-{network.name}.yaml" for number, network in enumerate(networks)]
    others = sorted({file.name for file in folder.glob("*.yaml")} - set(names))
    if others:
        raise InputError(
            f"out: {folder} holds {others[0]} too, which enqueue=[{folder}] would train; allowed: a folder "
            "without other .yaml files"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing_files(folder, last=names[-1] if names else "") as own:
            for name, network in zip(names, networks, strict=True):
                text = f"# {network.comment}\n{network.architecture.to_yaml()}"
                (own / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"out: {folder} cannot be written: {error.strerror}") from None
    return names


def search_command(header: Mapping[str, Any], words: Sequence[str], folder: str, count: int) -> str:
    """The search of `header` in its own words, but for these, on the networks of the folder."""
    new = ["recorded=false", *words, setting_word("enqueue", [folder]), f"trials={count}"]
    anew = {"resume", *map(_name, new)}
    kept = [word for word in header.get("overrides", []) if _name(word) not in anew]
    return typed_line("search", [*kept, *new])


def _name(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]

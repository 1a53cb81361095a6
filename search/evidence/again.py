"""`python -m search.evidence.again runs/table out=first`: recorded networks, to train them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.compose import compose, divided, help_text, run_door
from search.bundle import histories_of
from search.evidence.sources import all_trials
from search.formats import counted
from space.architecture import Architecture
from space.plain import InputError, from_plain

INTRO = """
The networks of recorded runs as files, in the order in which they were proposed, each once: to train them
with another seed, for longer, or under another proxy. It prints the search that does; add to it what should
differ. The first of a space-filling run are spread over the space by themselves.
"""
EXAMPLES = (
    "python -m search.evidence.again runs/table out=first networks=32   then the search that it prints, with",
    "    name=seeds-1 seed=1                                            another seed",
    "    name=long rungs=[500,1000,2000]                                longer training",
    "    name=bigger proxy=quarter data.image_size_px=64                a bigger proxy",
)


@dataclass(frozen=True)
class AgainSettings:
    """What conf/again.yaml holds."""

    out: str
    networks: int
    name: str

    def __post_init__(self) -> None:
        if self.networks < 1:
            raise InputError(f"networks: {self.networks} is too few; allowed: 1 or more")


@dataclass(frozen=True)
class NetworkFile:
    """A network to train: what its file is called after its number, and the comment at the file's head."""

    name: str
    architecture: Architecture
    comment: str


def main_with(words: list[str]) -> int:
    if any(word in ("-h", "--help") for word in words):
        print(help_text("again", INTRO, EXAMPLES))
        return 0
    sources, chosen = divided(words)
    settings: AgainSettings = from_plain(AgainSettings, compose("again", chosen))
    if not sources:
        raise InputError("no run named; for example: python -m search.evidence.again runs/table out=first")
    histories = histories_of(sources)
    files: dict[str, NetworkFile] = {}
    for name, history in histories.items():
        for trial in all_trials([history]):
            if trial.state == "complete":
                network, run = trial.architecture, Path(name).name
                files.setdefault(
                    network.id, NetworkFile(f"{run}_{trial.number}", network, f"{run} {trial.number}")
                )
    first = list(files.values())[: settings.networks]
    if len(first) < settings.networks:
        raise InputError(
            f"networks: {settings.networks} are more than {counted(len(first), 'complete network')} of "
            f"{', '.join(sources)}"
        )
    write_networks(first, settings.out)
    header = next(iter(histories.values())).header
    print(f"written: {counted(len(first), 'network')} to {settings.out}")
    print(f"train them: {search_command(header, [f'name={settings.name}'], settings.out, len(first))}")
    return 0


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
        for name, network in zip(names, networks, strict=True):
            text = f"# {network.comment}\n{network.architecture.to_yaml()}"
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"out: {folder} cannot be written: {error.strerror}") from None
    return names


def search_command(header: Mapping[str, Any], words: Sequence[str], folder: str, count: int) -> str:
    """The search of `header` in its own words, but for these, on the networks of the folder."""
    new = ["recorded=false", *words, f"enqueue=[{folder}]", f"trials={count}"]
    anew = {"resume", *(word.partition("=")[0] for word in new)}
    kept = [word for word in header.get("overrides", []) if word.partition("=")[0] not in anew]
    return shlex.join(["python", "-m", "search", *kept, *new])


def main() -> None:
    run_door(main_with)


if __name__ == "__main__":
    main()

"""Which commands are there? One file a command; this is their table.

A command is a module with `main(words) -> int`. Modules are imported when their command is called, so that
`mdsearch --help` waits for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from space.shared.plain import InputError, nearest


@dataclass(frozen=True)
class Command:
    """Where a command is, and what it does in one line. `module` is None for one that is only planned."""

    module: str | None
    about: str


def _command(name: str, about: str) -> Command:
    return Command(f"mdsearch.commands.{name}", about)


def _planned(about: str) -> Command:
    return Command(None, about)


COMMANDS: dict[str, dict[str, Command]] = {
    "Search": {
        "search": _command("search", "search an architecture within a budget; -m for sweeps"),
        "confirm": _command("confirm", "more seeds and steps for the best of a run"),
        "compare": _command("compare", "several searches side by side, as a table and a page"),
        "noise": _command("noise", "how much a seed moves the scores, by rung"),
        "replay": _command("replay", "finished runs as a benchmark of strategies; check=true: of decisions"),
        "simulate": _command("simulate", "what a search takes on 8, 64 or 1,000 workers"),
        "gather": _command("gather", "records of many runs in one small file"),
        "evidence": _command("evidence", "what recorded runs say, as one page"),
        "evidence again": _command("evidence_again", "recorded networks as files, to train them again"),
        "evidence pairs": _command("evidence_pairs", "partners that differ in one decision of the paper"),
        "efficiency": _planned("strategies compared in pairs on recorded runs"),
        "serve": _planned("ask and tell for training that runs elsewhere"),
    },
    "What a network costs": {
        "count": _command("count", "parameters, MACs and memory of an architecture, block by block"),
        "explore": _command("explore", "a map of a space: what fits a budget, what lies beside MD"),
        "table1": _command("table1", "the networks of the paper's Table 1, counted"),
        "walk": _command("walk", "from SD-1.5 to MobileDiffusion, decision by decision"),
        "proxy": _planned("a proxy for a space of your own"),
        "latency": _planned("how long a network takes on a device"),
    },
    "Training and images": {
        "train": _command("train", "one architecture for longer than a search can"),
        "generate": _command("generate", "images from a prompt, by a trained model"),
        "generate samples": _command("generate_samples", "an image for each caption of a file, resumable"),
        "generate curves": _command("generate_curves", "FID against CLIP over guidance and sampling steps"),
        "data": _planned("your images, checked and counted"),
        "encode": _planned("latents and text features, ahead of training"),
        "distill": _planned("fewer sampling steps for a trained model"),
    },
    "Quality": {
        "evaluate": _command("evaluate", "FID, KID, precision and recall, CLIP score of anybody's images"),
    },
    "Exchange": {
        "convert": _planned("weights from and to diffusers"),
        "export": _planned("ONNX, Core ML, ExecuTorch"),
    },
}
FLAT = {name: command for group in COMMANDS.values() for name, command in group.items()}


def run_command(name: str, words: list[str]) -> int:
    """Run the command of this name; returns its exit status.

    Raises:
        InputError: it is only planned.
    """
    module = FLAT[name].module
    if module is None:
        raise InputError(f"{name}: planned, not there yet; there are: {', '.join(available())}")
    main = import_module(module).main
    return int(main(words))


def available() -> list[str]:
    return [name for name, command in FLAT.items() if command.module is not None]


def divide(words: list[str]) -> tuple[str, list[str]]:
    """The command that the words begin with, the longest that fits, and the words left for it.

    >>> divide(["generate", "curves", "run=runs/a"])
    ('generate curves', ['run=runs/a'])

    Raises:
        InputError: no command begins like this.
    """
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in FLAT:
            return name, words[length:]
    raise InputError(f"{words[0]}: no such command; {nearest(words[0], available())}")

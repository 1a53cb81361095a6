"""Which commands are there? One file per command; this is their table, and what they have in common.

A command is a module with `main(words) -> int`, its exit status, and a YAML file of the same name in `conf/`
with its settings and, in the comment at its head, what `--help` says of it. Modules are imported when their
command is called, so that help waits for nothing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from space.shared.plain import InputError, nearest

HELP = ("-h", "--help")


@dataclass(frozen=True)
class Command:
    """What a command does, in one line, and whether it is there yet."""

    about: str
    planned: bool = False


def _planned(about: str) -> Command:
    return Command(about, planned=True)


COMMANDS: dict[str, dict[str, Command]] = {
    "Search": {
        "search": Command("search an architecture within a budget; -m for sweeps"),
        "confirm": Command("more seeds and steps for the best of a run"),
        "compare": Command("several searches side by side, as a table and a page"),
        "replay": Command("finished runs as a benchmark of strategies; check=true: of decisions"),
        "simulate": Command("what a search takes on 8, 64 or 1,000 workers"),
        "noise": Command("how much a seed moves the scores, by rung"),
        "evidence": Command("what recorded runs say, as one page"),
        "evidence again": Command("recorded networks as files, to train them again"),
        "evidence pairs": Command("partners that differ in one decision of the paper"),
        "evidence sound": Command("sound networks, to compare proxies on"),
        "evidence elsewhere": Command("whether the order of networks carries over to other images"),
        "gather": Command("records of many runs in one small file"),
        "efficiency": Command("strategies compared in pairs on recorded runs"),
        "serve": Command("ask and tell for training that runs elsewhere"),
    },
    "What a network costs": {
        "count": Command("parameters, MACs and memory of an architecture, block by block"),
        "explore": Command("a map of a space: what fits a budget, what lies beside MD"),
        "table1": Command("the networks of the paper's Table 1, counted"),
        "walk": Command("from SD-1.5 to MobileDiffusion, decision by decision"),
        "proxy": Command("a proxy for a space of your own, by what a step takes here"),
        "latency": Command("how long a network takes here, laid out like the paper's Table 4"),
        "latency prices": Command("a price list of this device, by which budgets bound latency"),
        "latency check": Command("predictions of a price list beside networks measured whole"),
        "latency stages": Command("stages and a script that measures a price list on a phone"),
    },
    "Training and images": {
        "train": Command("one architecture for longer than a search can"),
        "train autoencoder": Command("images to latents and back, or a decoder for latents"),
        "average": Command("a trained model with weights averaged over another length"),
        "generate": Command("images from a prompt, by a trained model"),
        "generate samples": Command("an image for each caption of a file, resumable"),
        "generate curves": Command("FID against CLIP over guidance and sampling steps"),
        "data": Command("captioned images, checked and counted before training"),
        "encode": Command("latents and text features, ahead of training"),
        "distill": Command("fewer sampling steps for a trained model; -m for sweeps"),
    },
    "Quality": {
        "evaluate": Command("FID, KID, precision and recall, CLIP score of anybody's images"),
        "evaluate reconstruction": Command("how well an autoencoder gives images back"),
    },
    "Exchange": {
        "convert": Command("a network with its weights, to and from diffusers"),
        "export": Command("a network for ONNX Runtime, Core ML, ExecuTorch or torch.export"),
    },
    "The shell": {
        "completion": Command("bash or zsh completes commands, presets and fields"),
    },
}
FLAT = {name: command for group in COMMANDS.values() for name, command in group.items()}


def run_command(name: str, words: list[str]) -> int:
    """Run the command of this name, or print its help; returns its exit status.

    Raises:
        InputError: it is only planned.
    """
    if FLAT[name].planned:
        raise InputError(f"{name}: planned, not there yet (mdsearch --help lists what is)")
    file = name.replace(" ", "_")
    if any(word in HELP for word in words):
        from conf.help import help_text

        print(help_text(file, [word for word in words if "=" in word and word not in HELP]))
        return 0
    from conf.compose import naming_files

    main = import_module(f"mdsearch.commands.{file}").main
    with naming_files():
        return int(main(words))


def available() -> list[str]:
    return [name for name, command in FLAT.items() if not command.planned]


def divide(words: list[str]) -> tuple[str, list[str]]:
    """The command that the words begin with, the longest that fits, and the words left for it.

    >>> divide(["generate", "curves", "run=runs/a"])
    ('generate curves', ['run=runs/a'])

    Raises:
        InputError: no command begins like this.
    """
    first, second = (*words, "")[:2]
    if f"{first} {second}" in FLAT:
        return f"{first} {second}", words[2:]
    if first not in FLAT:
        raise InputError(f"{first}: no such command; {nearest(first, available())}")
    meant = difflib.get_close_matches(f"{first} {second}", [name for name in FLAT if " " in name], 1, 0.85)
    if second.isalpha() and meant and not Path(second).exists():
        raise InputError(f"{first} {second}: no such command; did you mean {meant[0]!r}?")
    return first, words[1:]

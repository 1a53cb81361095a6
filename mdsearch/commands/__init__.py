"""Which commands are there? One file per command; this is their table, and what they have in common.

A command is a module with `main(words) -> int`, its exit status, and a YAML file of the same name in `conf/`
with its settings and, in the comment at its head, what `--help` says of it. Modules are imported when their
command is called, so that help waits for nothing.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path

from space.shared.plain import InputError, nearest

HELP = ("-h", "--help")


COMMANDS = {  # by what they are for: each with what it does, in one line
    "All of it": {
        "build": "a whole system: search, training, one step, export, and a page of it",
    },
    "Search": {
        "search": "search an architecture within a budget; -m for sweeps",
        "search decoder": "search a light decoder for an encoder that stays",
        "confirm": "more seeds and steps for the best of a run",
        "compare": "several searches side by side, as a table and a page",
        "replay": "finished runs as a benchmark of strategies; check=true: of decisions",
        "simulate": "what a search takes on 8, 64 or 1,000 workers",
        "noise": "how much a seed moves the scores, by rung",
        "evidence": "what recorded runs say, as one page",
        "evidence again": "recorded networks as files, to train them again",
        "evidence pairs": "partners that differ in one decision of the paper",
        "evidence sound": "sound networks, to compare proxies on",
        "evidence elsewhere": "whether the order of networks carries over to other images",
        "gather": "records of many runs in one small file",
        "efficiency": "strategies compared in pairs on recorded runs",
        "split": "how UNet and decoder share one latency budget",
        "serve": "ask and tell for training that runs elsewhere",
    },
    "What a network costs": {
        "count": "parameters, MACs and memory of an architecture, block by block",
        "explore": "a map of a space: what fits a budget, what lies beside MD",
        "table1": "the networks of the paper's Table 1, counted",
        "walk": "from SD-1.5 to MobileDiffusion, decision by decision",
        "proxy": "a proxy for a space of your own, by what a step takes here",
        "latency": "how long a network takes here, laid out like the paper's Table 4",
        "latency prices": "a price list of this device, by which budgets bound latency",
        "latency check": "predictions of a price list beside networks measured whole",
        "latency stages": "stages and a script that measures a price list on a phone",
    },
    "Training and images": {
        "train": "one architecture for longer than a search can",
        "train autoencoder": "images to latents and back, or a decoder for latents",
        "train adapter": "ControlNet, T2I-adapter, LoRA or inpainting for a trained model",
        "average": "a trained model with weights averaged over another length",
        "generate": "images from a prompt, by a trained model",
        "generate samples": "an image for each caption of a file, resumable",
        "generate curves": "FID against CLIP over guidance and sampling steps",
        "data": "captioned images, checked and counted before training",
        "encode": "latents and text features, ahead of training",
        "distill": "fewer sampling steps for a trained model; -m for sweeps",
    },
    "Quality": {
        "evaluate": "FID, KID, precision and recall, CLIP score of anybody's images",
        "evaluate reconstruction": "how well an autoencoder gives images back",
        "evaluate adapter": "what adapters do beside a model, and still do beside a distilled one",
    },
    "Exchange": {
        "convert": "a network with its weights, to and from diffusers",
        "attach": "an adapter and a model of its network, as a pipeline",
        "export": "a network for ONNX Runtime, Core ML, ExecuTorch or torch.export",
    },
    "The shell": {
        "completion": "bash or zsh completes commands, presets and fields",
    },
}
FLAT = {name: about for group in COMMANDS.values() for name, about in group.items()}


def run_command(name: str, words: list[str]) -> int:
    """Run the command of this name, or print its help; returns its exit status."""
    file = name.replace(" ", "_")
    if any(word in HELP for word in words):
        from conf.help import help_text

        print(help_text(file, [word for word in words if "=" in word and word not in HELP]))
        return 0
    from conf.compose import naming_files

    main = import_module(f"mdsearch.commands.{file}").main
    with naming_files():
        return int(main(words))


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
        raise InputError(f"{first}: no such command; {nearest(first, FLAT)}")
    meant = difflib.get_close_matches(f"{first} {second}", [name for name in FLAT if " " in name], 1, 0.85)
    if second.isalpha() and meant and not Path(second).exists():
        raise InputError(f"{first} {second}: no such command; did you mean {meant[0]!r}?")
    return first, words[1:]

"""`mdsearch average`: a trained model whose weights are averaged over another length."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from conf.compose import compose
from conf.words import as_text
from space.shared.command_lines import command_line
from space.shared.outputs import free_folder, writing_folder
from space.shared.plain import InputError, from_plain
from training.files import ARCHITECTURE_NAME, CONFIG_NAME
from training.model import load_model
from training.power_averages import average_of


@dataclass(frozen=True)
class AverageCommand:
    """The fields of conf/average.yaml."""

    model: str
    length: float
    out: str
    step: int | None = None


def average(command: AverageCommand) -> int:
    """Write the model; returns its step. Raises InputError where it cannot be made of what is stored."""
    folder, out = Path(command.model).expanduser(), free_folder(command.out)
    step, weights = average_of(folder, command.length, command.step)
    model = load_model(folder, "cpu")
    for name, parameter in model.named_parameters():
        if name not in weights:
            raise InputError(f"model: {folder} holds averages of another network: {name} is missing")
        parameter.data.copy_(weights[name])
    with writing_folder(out) as made:
        model.save(made)
        for name in (ARCHITECTURE_NAME, CONFIG_NAME):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, made / name)
    return step


def main(words: list[str]) -> int:
    command = from_plain(AverageCommand, compose("average", as_text(words, ("model", "out"))))
    step = average(command)
    print(f"averaged over {command.length:g} of the steps up to {step}: {command.out}")
    print(f"generate with: {command_line('generate', model=command.out)} prompt='...'")
    return 0

"""`mdsearch generate`: images from a prompt, by a trained model."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from conf.compose import compose
from conf.words import as_text
from space.shared.plain import InputError, from_plain
from training.generation.grid import save_grid
from training.model import load_model
from training.told_apart import unread_text

EXAMPLES = ("mdsearch generate model=trained/md prompt='a red circle' out=circle.png count=9 seed=1",)


GENERATE_TEXTS = ("model", "prompt", "out")


@dataclass(frozen=True)
class GenerateCommand:
    """The fields of conf/generate.yaml."""

    model: str
    prompt: str
    out: str = "image.png"
    count: int = 1
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    enlarge: int = 4
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("count", "enlarge"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps: {self.steps} is not possible; allowed: 1 or more, or null")
        Image.init()
        if Image.registered_extensions().get(Path(self.out).suffix.lower()) not in Image.SAVE:
            raise InputError(
                f"out: {self.out!r} does not end as an image file; allowed: .png, .jpg, .webp and others; "
                f"did you mean {f'{self.out}.png'!r}?"
            )


def generate(command: GenerateCommand) -> Path:
    """Generate and write the image or sheet; returns its path."""
    model = load_model(command.model, command.device)
    for line in unread_text(model.text_encoder, [command.prompt], "prompt"):
        print(line, file=sys.stderr)
    is_told = bool(model.architecture.guidance_width)
    if model.settings.one_step and not is_told and command.guidance not in (None, model.settings.guidance):
        print(
            f"note: guidance: {command.guidance:g} of a network that was distilled with "
            f"{model.settings.guidance:g} inside; null is what it learnt",
            file=sys.stderr,
        )
    images = model.generate(
        [command.prompt] * command.count,
        seed=command.seed,
        steps=command.steps,
        guidance=command.guidance,
    )
    out = Path(command.out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {command.out!r} cannot be written: {error}") from None
    save_grid(images, out, enlarge=command.enlarge)
    return out


def main(words: list[str]) -> int:
    command: GenerateCommand = from_plain(
        GenerateCommand, compose("generate", as_text(words, GENERATE_TEXTS))
    )
    print(generate(command))
    return 0

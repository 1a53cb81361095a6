"""`mdsearch generate samples`: an image for each caption of a file, as evaluators want them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from conf.compose import compose
from conf.words import as_text
from mdsearch.progress import shown_progress
from mdsearch.train_command import trained_as
from search.prompts import evaluation_captions
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain
from training.data.captions import read_prompts
from training.data.factory import DataSettings, load_data
from training.generation.generators import own_settings
from training.generation.samples import Shard, generate_samples
from training.generation.settings import GenerationSettings

SAMPLES_TEXTS = ("model", "captions", "out")


@dataclass(frozen=True)
class SamplesCommand:
    """The fields of conf/generate_samples.yaml."""

    model: str
    out: str
    captions: str | None = None
    count: int | None = None
    image_size_px: int | None = None
    scheduler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    batch_size: int = 64
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    threads: int = 1
    workers: int = 1
    shard: str = "1/1"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def settings(self, captions: int) -> GenerationSettings:
        """With what the command leaves open taken from a model of ours.

        Raises:
            InputError: a field that a pipeline needs is missing, or more images than captions are wanted.
        """
        if self.count is not None and self.count > captions:
            raise InputError(f"count: {self.count}, but {self.captions} holds {captions} captions")
        defaults = {"count": captions, **own_settings(self.model)}
        given = {field.name: getattr(self, field.name, None) for field in fields(GenerationSettings)}
        given["sampler"] = self.scheduler
        given = {name: value for name, value in given.items() if value is not None}
        settings: GenerationSettings = from_plain(GenerationSettings, defaults | given)
        return settings


def generate_missing(command: SamplesCommand) -> Path:
    """Generate what is missing; returns the folder."""
    shard = Shard.parsed(command.shard)
    captions = _captions(command)
    settings = command.settings(len(captions))
    with shown_progress(command_console(), "images") as on_generated:
        folder = generate_samples(
            command.model,
            captions[: settings.count],
            settings,
            command.out,
            workers=command.workers,
            shard=shard,
            device=command.device,
            on_generated=on_generated,
        )
    return folder.path


def _captions(command: SamplesCommand) -> list[str]:
    """Of a file; else the first held-out captions of what the model was trained on, again from the start
    where more are wanted. Raises InputError where its folder does not say what that was."""
    if command.captions is not None:
        return read_prompts(command.captions)
    plain = trained_as(Path(command.model).expanduser()).get("data")
    if plain is None:
        raise InputError(
            f"captions: missing, and {command.model!r} says nothing of its data; needed: captions=<file>"
        )
    held_out = load_data(from_plain(DataSettings, plain, "data")).held_out_captions
    return evaluation_captions(held_out, command.count or len(held_out))


def main(words: list[str]) -> int:
    folder = generate_missing(
        from_plain(SamplesCommand, compose("generate_samples", as_text(words, SAMPLES_TEXTS)))
    )
    print(f"samples: {folder}")
    return 0

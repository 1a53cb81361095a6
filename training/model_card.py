"""What a trained model's folder says to whoever is given it: what it is, and whose images it saw."""

from __future__ import annotations

from pathlib import Path

from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError
from training.data.base import CommonSettings
from training.files import CARD_NAME
from training.trainer import Trainer


def write_card(folder: Path, trainer: Trainer, settings: CommonSettings, command: str = "train") -> None:
    """Markdown with a head as the Hugging Face Hub reads it; `settings` are those of the trainer's data.

    Raises:
        InputError: it cannot be written.
    """
    data = trainer.data
    lines = [
        "---",
        "library_name: mdsearch",
        "pipeline_tag: text-to-image",
        "---",
        f"# {folder.name}",
        "",
        f"A text-to-image network of {trainer.parameters:,} parameters (`architecture.yaml`), trained by "
        f"`mdsearch {command}` (`config.yaml`) on {data.train_images:,} images of {settings.title}, "
        f"{data.image_size_px} px, digest `{data.digest}`; {len(data.held_out_captions):,} are held out.",
        "",
        f"    {command_line('generate', model=folder, prompt=data.train_captions[0])}",
    ]
    if settings.attribution:
        lines += ["", f"Images: {settings.attribution}."]
    try:
        write_whole(folder / CARD_NAME, "\n".join(lines) + "\n")
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None

"""`mdsearch latency stages`: what measures a price list on a device where this package is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from conf.compose import compose
from conf.words import as_text
from evaluators.latency.designs import MOST_ENTRIES, design
from evaluators.latency.stages_folder import SCRIPT_FILE, stages_bytes, write_stages
from mdsearch.progress import shown_progress
from space.choices import Space
from space.shared.disk import refuse_little_disk
from space.shared.plain import InputError, from_plain

STAGES_TEXTS = ("out",)


@dataclass(frozen=True)
class StagesCommand:
    """The fields of conf/latency_stages.yaml."""

    space: Space
    out: str
    to: Literal["onnx", "coreml"] = "onnx"
    entries: int = MOST_ENTRIES

    def __post_init__(self) -> None:
        if Path(self.out).exists():
            raise InputError(f"out: {self.out} is there; allowed: a new folder")
        if not Path(self.out).absolute().parent.is_dir():
            raise InputError(f"out: {Path(self.out).parent} is no folder; allowed: one that is there")


def main(words: list[str]) -> int:
    command: StagesCommand = from_plain(
        StagesCommand, compose("latency_stages", as_text(words, STAGES_TEXTS))
    )
    command.space.check_order()
    parts = design(command.space, command.entries)
    needed = stages_bytes(parts, command.to)
    refuse_little_disk(needed, Path(command.out).absolute().parent)
    print(f"{len(parts)} entries, about {needed / 1e9:.1f} GB", flush=True)
    with shown_progress(Console(stderr=True), "chains") as on_done:
        write_stages(command.space, parts, Path(command.out), command.to, on_done)
    print(f"on the device: python {command.out}/{SCRIPT_FILE} --help")
    return 0

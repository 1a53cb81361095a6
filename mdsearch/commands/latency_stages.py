"""`mdsearch latency stages`: what measures a price list on a device where this package is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conf.compose import compose
from conf.words import as_text
from evaluators.latency.designs import MOST_ENTRIES, design
from evaluators.latency.lists import calibrating_networks
from evaluators.latency.stages_folder import SCRIPT_FILE, UNVERIFIED, stages_bytes, write_stages
from mdsearch.progress import shown_progress
from space.budget import Budget
from space.choices import Space
from space.shared.console import command_console
from space.shared.disk import refuse_little_disk
from space.shared.outputs import free_folder
from space.shared.plain import InputError, from_plain

STAGES_TEXTS = ("out",)


@dataclass(frozen=True)
class StagesCommand:
    """The fields of conf/latency_stages.yaml."""

    space: Space
    budget: Budget
    out: str
    to: Literal["onnx", "coreml"] = "onnx"
    entries: int = MOST_ENTRIES
    networks: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.networks < 0:
            raise InputError(f"networks: {self.networks} is not possible; allowed: 0 or more")


def main(words: list[str]) -> int:
    command: StagesCommand = from_plain(
        StagesCommand, compose("latency_stages", as_text(words, STAGES_TEXTS))
    )
    command.space.check_order()
    out = free_folder(command.out)
    parts = design(command.space, command.entries)
    networks = calibrating_networks(
        command.space, command.networks, command.seed, lambda a: not command.budget.excess(a)
    )
    needed = stages_bytes(parts, networks, command.to)
    refuse_little_disk(needed, out.absolute().parent)
    print(f"{len(parts)} entries and {len(networks)} whole networks, about {needed / 1e9:.1f} GB", flush=True)
    with shown_progress(command_console(stderr=True), "chains and networks") as on_done:
        write_stages(command.space, parts, networks, out, command.to, on_done)
    if command.to == "coreml":
        print(UNVERIFIED)
    print(f"on the device: python {command.out}/{SCRIPT_FILE} --help")
    return 0

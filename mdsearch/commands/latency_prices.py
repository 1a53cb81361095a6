"""`mdsearch latency prices`: a price list of this device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from conf.compose import compose
from conf.words import as_text
from evaluators.latency.designs import MOST_ENTRIES, design
from evaluators.latency.lists import Effort, calibrating_networks, measured_list
from evaluators.latency.probes import pair, probe_parameters
from evaluators.latency.quiet import CpuMoment, quietness
from evaluators.latency.runtimes import EXPORTED_BYTES_PER_PARAMETER, Place, Runtime
from mdsearch.progress import shown_progress
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.prices.latency import PriceList
from space.prices.macs import price
from space.prices.parts import TimedPart
from space.shared.cpus import available_cpus
from space.shared.disk import refuse_little_disk
from space.shared.plain import InputError, from_plain

PRICES_TEXTS = ("out",)


@dataclass(frozen=True)
class PricesCommand:
    """The fields of conf/latency_prices.yaml."""

    space: Space
    budget: Budget
    out: str
    runtime: Runtime = "onnx"
    threads: int | None = None
    device: str = "cpu"
    precision: str = "fp32"
    entries: int = MOST_ENTRIES
    networks: int = 6
    seconds: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_json(self.out)
        if self.networks < 0:
            raise InputError(f"networks: {self.networks} is not possible; allowed: 0 or more")
        if not self.seconds > 0:
            raise InputError(f"seconds: {self.seconds:g} is no time; allowed: above 0")


def check_json(out: str) -> None:
    """Raises InputError: no .json file, or one that is there, or nowhere to write it."""
    path = Path(out)
    if path.suffix != ".json":
        raise InputError(f"out: {out!r} is no price list; allowed: a file that ends in .json")
    if path.exists():
        raise InputError(f"out: {out} is there; allowed: a new file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"out: {path.parent} is no folder; allowed: a file in a folder that is there")


def main(words: list[str]) -> int:
    command: PricesCommand = from_plain(
        PricesCommand, compose("latency_prices", as_text(words, PRICES_TEXTS))
    )
    command.space.check_order()
    threads = available_cpus() if command.threads is None else command.threads
    place = Place(command.device, threads, command.precision)
    place.check(command.runtime)
    parts = design(command.space, command.entries)
    networks = calibrating_networks(
        command.space, command.networks, command.seed, lambda a: not command.budget.excess(a)
    )
    if command.runtime.startswith("onnx"):
        refuse_little_disk(disk_needed(parts, networks))
    journal, begin = Path(f"{command.out}.begun"), CpuMoment.now()
    with shown_progress(Console(stderr=True), "entries and networks") as on_done:
        found = measured_list(
            command.space,
            parts,
            networks,
            command.runtime,
            place,
            journal,
            effort=Effort(seconds=command.seconds),
            on_done=on_done,
        )
    found.write(command.out)
    journal.unlink()
    for line in summary(found):
        print(line)
    print(quietness(begin, CpuMoment.now(), available_cpus(), []).sentence())
    print(f"wrote {command.out}")
    return 0


def disk_needed(parts: Sequence[TimedPart], networks: Sequence[Architecture]) -> int:
    """Bytes of what is exported at once: a network, or the two chains of a part."""
    pairs = map(pair, parts)
    chains = (probe_parameters(one.more) + probe_parameters(one.fewer) for one in pairs)
    return EXPORTED_BYTES_PER_PARAMETER * max((*chains, *(price(a).parameters for a in networks)))


def summary(prices: PriceList) -> list[str]:
    """What a list holds, and how far its interpolation is off at entries left out."""
    errors = [error for found in prices.interpolation_errors().values() for error in found]
    lines = [
        prices.describe(),
        f"{len(prices.entries)} entries; the sum times {prices.factor:.3f} and {prices.overhead_ms:.1f} ms, "
        f"by {prices.calibrated_on} whole networks",
    ]
    if errors:
        lines.append(
            f"between widths: median error {np.median(errors):.1%}, worst {max(errors):.1%}, of "
            f"{len(errors)} entries left out in turn"
        )
    return lines

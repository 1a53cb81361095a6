"""`mdsearch latency prices`: a price list of this device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conf.compose import compose
from conf.words import as_text
from evaluators.latency.designs import MOST_ENTRIES, design
from evaluators.latency.journal import whole_lines
from evaluators.latency.lists import Effort, calibrating_networks, measured_list
from evaluators.latency.probes import pair, probe_parameters
from evaluators.latency.quiet import CpuMoment, quiet_since
from evaluators.latency.runtimes import EXPORTED_BYTES_PER_PARAMETER, Place, Runtime
from mdsearch.progress import shown_progress
from space.budget import Budget
from space.candidates import Candidate
from space.choices import Space
from space.decoder_space import DecoderSpace, any_space
from space.prices.candidates import candidate_price
from space.prices.latency import PriceList
from space.prices.parts import TimedPart
from space.search_space import AnySpace
from space.shared.console import command_console
from space.shared.cpus import available_cpus
from space.shared.disk import refuse_little_disk
from space.shared.plain import InputError, from_plain

PRICES_TEXTS = ("out",)


@dataclass(frozen=True)
class PricesCommand:
    """The fields of conf/latency_prices.yaml."""

    space: Space | DecoderSpace
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
    plain = compose("latency_prices", as_text(words, PRICES_TEXTS))
    command: PricesCommand = from_plain(PricesCommand, _with_whole_space(plain))
    space: AnySpace = command.space
    space.check_order()
    threads = available_cpus() if command.threads is None else command.threads
    place = Place(command.device, threads, command.precision)
    place.check(command.runtime)
    parts = design(space, command.entries)
    networks = calibrating_networks(
        space, command.networks, command.seed, lambda a: not command.budget.excess(a)
    )
    if command.runtime.startswith("onnx"):
        refuse_little_disk(disk_needed(parts, networks))
    journal, begin = Path(f"{command.out}.begun"), CpuMoment.now()
    kept = max(0, len(whole_lines(journal)) - 1)
    with shown_progress(command_console(stderr=True), "entries and networks") as on_done:
        found = measured_list(
            space,
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
    print(quiet_since(begin, kept, len(parts) + len(networks), journal))
    print(f"wrote {command.out}")
    return 0


def _with_whole_space(plain: dict[str, Any]) -> dict[str, Any]:
    """A space of decoders has the autoencoder whose encoder stays. Raises InputError."""
    plain, ranges = dict(plain), dict(plain["space"])
    autoencoder, is_of_decoders = plain.pop("autoencoder", None), "middle_blocks" in ranges
    if is_of_decoders != (autoencoder is not None):
        raise InputError(
            "autoencoder: missing; needed beside a space of decoders, such as autoencoder=small"
            if is_of_decoders
            else "autoencoder: has no effect beside a space of UNets; allowed: beside space=decoder"
        )
    whole = ranges | ({"autoencoder": autoencoder} if is_of_decoders else {})
    return plain | {"space": any_space(whole)}


def disk_needed(parts: Sequence[TimedPart], networks: Sequence[Candidate]) -> int:
    """Bytes of what is exported at once: a network, or the two chains of a part."""
    pairs = map(pair, parts)
    chains = (probe_parameters(one.more) + probe_parameters(one.fewer) for one in pairs)
    return EXPORTED_BYTES_PER_PARAMETER * max((*chains, *(candidate_price(a).parameters for a in networks)))


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

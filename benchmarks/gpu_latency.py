"""A GPU in under 12 minutes: MD, SD-1.5 and SDXL at 64x64, and a price list with its check.

    python -m benchmarks.gpu_latency FOLDER [minutes=11] [device=cuda] [precision=bf16] [rounds=21]
    python -m benchmarks.gpu_latency FOLDER narrower=16 device=cpu precision=fp32 runtimes=eager list=eager

The second runs anywhere, at widths / 16 and 8x8, to see that it works. First a price list of space=paper
(list=graph: replayed CUDA graphs) and networks that it never saw, measured whole; then the three UNets, eager
and compiled, as they are and channels_last. What would not end within `minutes`, three fifths of which are
for the list and its check, is not begun, and said. The same words go on with FOLDER.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.lab import in_folder, run_as_command
from conf.compose import compose
from evaluators.latency.designs import design
from evaluators.latency.held_out import verdict_of_list
from evaluators.latency.journal import Journal
from evaluators.latency.lists import Effort, calibrating_networks, measured_list, sampled_networks
from evaluators.latency.repeats import measure_twice
from evaluators.latency.runtimes import Place, runner, versions_of
from evaluators.latency.timing import alternating
from evaluators.latency.whole import unet_inputs, unet_module
from mdsearch.commands.latency_check import spread_in_words, whole_of
from mdsearch.commands.latency_prices import summary
from search.named import named_architecture
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.prices.latency import PriceList
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError, from_plain

NETWORKS = {"MD": "md", "SD-1.5": "sd15", "SDXL": "sdxl"}
LAYOUTS = ("contiguous", "channels_last")
LONGER = 2.5  # times: what the next network's compilation may take, by the longest so far
ALIKE = 1.3  # times: the same network's, in another layout
FIRST_COMPILATION = 90.0  # seconds, before any has been seen
RESERVE = 5.0
LISTS_SHARE = 0.6  # of the minutes, for the list and its check


@dataclass(frozen=True)
class Chosen:
    """The words: `networks` calibrate the list, `check` are held out; `seconds` are an entry's."""

    folder: str
    device: str = "cuda"
    precision: str = "bf16"
    runtimes: tuple[str, ...] = ("eager", "compiled")
    list: str = "graph"
    narrower: int = 1
    minutes: float = 11.0
    rounds: int = 21
    networks: int = 6
    check: int = 30
    seconds: float = 0.3

    def __post_init__(self) -> None:
        for name in ("narrower", "rounds", "networks", "check"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if not self.minutes >= 0:
            raise InputError(f"minutes: {self.minutes} is no time; allowed: 0 or more")


def main(words: list[str]) -> int:
    chosen, began = in_folder(Chosen, words), time.monotonic()
    until = began + 60 * chosen.minutes
    place = Place(chosen.device, 1, chosen.precision)
    for runtime in (chosen.list, *chosen.runtimes):
        place.check(runtime)
    try:
        Path(chosen.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"FOLDER: {chosen.folder} cannot be made: {error}") from None
    print(f"{place.name()}, {place.precision}, torch {versions_of('eager')['torch']}, one image\n")
    space, budget = paper_space(chosen.narrower)
    try:
        for line in list_and_check(space, budget, chosen, place, began + 60 * LISTS_SHARE * chosen.minutes):
            print(line, flush=True)
    except OutOfTime as left:
        print(f"no time for more of the list and its check: {left}; the same words go on", flush=True)
    print()
    for line in table(chosen, place, until):
        print(line, flush=True)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


# ---------------------------------------------------------------------- what is measured


def narrowed(a: Architecture, narrower: int) -> Architecture:
    if narrower == 1:
        return a
    size = max(8, a.latent_size // narrower)
    return narrow(a, Proxy(narrower, latent_size=size, context_width=32, heads=2, norm_groups=4))


def paper_space(narrower: int) -> tuple[Space, Budget]:
    plain = compose("latency_check", ["prices=-", "space=paper"])
    space: Space = from_plain(Space, plain["space"])
    budget: Budget = from_plain(Budget, plain["budget"])
    if narrower == 1:
        return space, budget
    levels = {
        key: replace(ranges, channels=tuple(width // narrower for width in ranges.channels))
        for key, ranges in space.levels.items()
    }
    small = narrowed(space.first, narrower)
    kept = ("latent_size", "context_width", "heads", "head_width", "norm_groups", "time_width")
    return replace(space, levels=levels, base={name: getattr(small, name) for name in kept}), Budget()


class OutOfTime(Exception):
    """With what was done, of how much."""


def within(until: float) -> Callable[[int, int], None]:
    """Raises OutOfTime between two measurements; those that are done stay."""

    def on_done(done: int, of: int) -> None:
        if done < of and time.monotonic() > until:
            raise OutOfTime(f"{done} of {of}")

    return on_done


def list_and_check(space: Space, budget: Budget, chosen: Chosen, place: Place, until: float) -> Iterator[str]:
    """A list in FOLDER/prices.json, made anew or read, beside networks measured whole. Raises OutOfTime."""
    folder = Path(chosen.folder)
    file = folder / "prices.json"

    def fits(a: Architecture) -> bool:
        return not budget.excess(a)

    if not file.is_file():
        effort = Effort(chosen.seconds, 5, chosen.rounds)
        networks = calibrating_networks(space, chosen.networks, 0, fits)
        parts, begun = design(space), file.with_suffix(".begun")
        measured_list(
            space, parts, networks, chosen.list, place, begun, effort=effort, on_done=within(until)
        ).write(file)
    prices = PriceList.load(file)
    yield from summary(prices)
    seen = {one.network.id for one in prices.whole}
    held_out = sampled_networks(space, chosen.check, 0, "check", lambda a: a.id not in seen and fits(a))
    about: dict[str, Any] = {"runtime": chosen.list, "device": place.name(), "precision": place.precision}
    about |= {"versions": versions_of(chosen.list), "rounds": chosen.rounds}
    journal = Journal(folder / "check.jsonl", about)
    measure_twice(
        held_out,
        chosen.list,
        place,
        journal,
        rounds=chosen.rounds,
        clock=time.perf_counter,
        on_done=within(until),
    )
    found = verdict_of_list([whole_of(a, prices, journal.results[a.id]) for a in held_out])
    yield (
        f"{found.networks} networks never measured for the list: error median {found.median_error:.1%}, mean "
        f"{found.mean_error:.1%}; rank correlation {found.rank_correlation:.3f}; a line through MACs: "
        f"{found.macs_error:.1%}, {found.macs_rank_correlation:.3f}"
    )
    yield spread_in_words(found.spread)


def table(chosen: Chosen, place: Place, until: float) -> Iterator[str]:
    """A line for each network, a cell for each runtime and layout: the median with its interval, in ms."""
    about = {"device": place.name(), "precision": place.precision, "rounds": chosen.rounds}
    about |= {"narrower": chosen.narrower, "versions": versions_of("eager")}
    journal = Journal(Path(chosen.folder) / "table.jsonl", about)
    columns = [(runtime, layout) for runtime in chosen.runtimes for layout in LAYOUTS]
    networks = {name: narrowed(named_architecture(arch), chosen.narrower) for name, arch in NETWORKS.items()}
    for runtime, layout in columns:  # column by column: what takes longest comes last
        for name, a in networks.items():
            key, begins = f"{name} {runtime} {layout}", time.monotonic()
            if key in journal.results or begins + _needed(name, runtime, journal) > until:
                continue
            found = timed(a, runtime, layout, place, chosen.rounds)
            journal.add(key, **found, seconds=time.monotonic() - begins)
    yield "| | GMACs | " + " | ".join(f"{runtime}, {layout}" for runtime, layout in columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    for name, a in networks.items():
        cells = [_cell(journal.results.get(f"{name} {runtime} {layout}")) for runtime, layout in columns]
        yield f"| {name} | {price(a).gmacs:.1f} | " + " | ".join(cells) + " |"


def _needed(name: str, runtime: str, journal: Journal) -> float:
    """Seconds, by what was measured so far."""
    if runtime != "compiled":
        return RESERVE
    took = {key: found["seconds"] for key, found in journal.results.items() if " compiled " in key}
    alike = [seconds for key, seconds in took.items() if key.startswith(f"{name} ")]
    if alike:
        return ALIKE * max(alike)
    return LONGER * max(took.values(), default=FIRST_COMPILATION / LONGER)


def timed(a: Architecture, runtime: str, layout: str, place: Place, rounds: int) -> dict[str, Any]:
    with torch.device(place.device):
        module = unet_module(a)
    inputs = unet_inputs(a)
    if layout == "channels_last":
        module = module.to(memory_format=torch.channels_last)
        inputs = [
            {
                name: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
                for name, x in one.items()
            }
            for one in inputs
        ]
    with TemporaryDirectory() as folder:
        run = runner(module, inputs, runtime, place, Path(folder))
        found = alternating({"": run}, rounds, warm_up=3)[""]
    low, high = found.interval
    return {"median_ms": found.median, "low_ms": low, "high_ms": high}


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not measured: no time"
    return f"{found['median_ms']:.2f} ({found['low_ms']:.2f} to {found['high_ms']:.2f})"


if __name__ == "__main__":
    run_as_command(main, __doc__)

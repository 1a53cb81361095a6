"""`mdsearch latency`: how long a network takes here, laid out like the paper's Table 4."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from rich.table import Table

from analysis.rendering import write_text
from conf.compose import compose
from conf.repeated import refuse_beside
from conf.words import as_text
from evaluators.latency.quiet import CpuMoment, Quietness, quietness
from evaluators.latency.runtimes import Place, Runtime, runner, runtimes_here, versions_of
from evaluators.latency.table4 import PAPERS_ROWS, Table4Row, row_of
from evaluators.latency.timing import Timing, alternating
from mdsearch.latency_parts import MeasuredParts, WholePart, parts_of_architecture, parts_of_folder
from mdsearch.progress import OnDone, shown_progress
from search.runs.files import BEST_NAME
from space.architecture import Architecture
from space.shared.console import command_console
from space.shared.cpus import available_cpus
from space.shared.disk import refuse_little_disk
from space.shared.outputs import refuse_used_file
from space.shared.plain import InputError, from_plain, to_plain

LATENCY_TEXTS = ("arch_file", "run", "model", "out")
FILES_PER_PARAMETER = 6  # bytes: fp32 and int8, and what an export writes beside


@dataclass(frozen=True)
class LatencyCommand:
    """The fields of conf/latency.yaml."""

    arch: dict[str, Any]
    arch_file: str | None = None
    run: str | None = None
    model: str | None = None
    size: int | None = None
    steps: tuple[int, ...] = (1, 8)
    parts: tuple[WholePart, ...] = ("text", "unet", "decoder")
    runtimes: tuple[Runtime, ...] | None = None
    threads: int | None = None
    device: str = "cpu"
    precision: str = "fp32"
    rounds: int = 11
    out: str | None = None
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        for name in ("steps", "parts", "runtimes"):
            values = getattr(self, name)
            if values is None:
                continue
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name}: {list(values)}; allowed: one or more, each once")
        if min(self.steps) < 1:
            raise InputError(f"steps: {min(self.steps)} is too few; allowed: 1 or more")
        if self.rounds < 1:
            raise InputError(f"rounds: {self.rounds} is too few; allowed: 1 or more")

    def place(self) -> Place:
        threads = available_cpus() if self.threads is None else self.threads
        return Place(self.device, threads, self.precision)

    def chosen(self, place: Place) -> tuple[tuple[Runtime, ...], list[str]]:
        """The runtimes, and a line for each usual one that does not run here. Raises InputError where a named
        one does not."""
        if self.runtimes is None:
            return runtimes_here(place)
        for runtime in self.runtimes:
            place.check(runtime)
        return self.runtimes, []


@dataclass(frozen=True)
class Measured:
    """All timings by part and runtime, and whether the machine was quiet."""

    runtimes: Sequence[Runtime]
    timings: Mapping[str, Mapping[str, Timing]]
    quiet: Quietness


def main(words: list[str]) -> int:
    refuse_beside(words, "arch_file", ["arch", "run"], "which is an architecture itself")
    refuse_beside(words, "run", ["arch"], "whose best is an architecture itself")
    refuse_beside(words, "model", ["arch", "arch_file", "run", "size"], "which is a network itself")
    command: LatencyCommand = from_plain(LatencyCommand, compose("latency", as_text(words, LATENCY_TEXTS)))
    if command.out is not None:
        refuse_used_file(command.out)
    subject, place = measured_parts_of(command), command.place()
    runtimes, lacking = command.chosen(place)
    if any(runtime.startswith("onnx") for runtime in runtimes):
        refuse_little_disk(FILES_PER_PARAMETER * max(subject.parameters[part] for part in command.parts))
    with shown_progress(command_console(stderr=True), "rounds") as on_done:
        measured = measure(subject, command, runtimes, place, on_done)
    rows = table_rows(command, place, measured)
    found = json.dumps(as_json(subject, place, measured, rows) | {"lacking": lacking}, indent=2)
    if command.out is not None:
        write_text(f"{found}\n", command.out)
    if command.format == "json":
        print(found)
    else:
        _print(subject, place, measured, rows, lacking)
    return 0


def measured_parts_of(command: LatencyCommand) -> MeasuredParts:
    """What is measured. Raises InputError: it is not there, or lacks a part that is asked for."""
    if command.model is None:
        return parts_of_architecture(architecture_of(command))
    subject = parts_of_folder(Path(command.model).expanduser())
    if missing := [part for part in command.parts if part not in subject.parts]:
        raise InputError(
            f"parts: {missing[0]} is none of {command.model}; allowed: parts=[{','.join(subject.parts)}]"
        )
    return subject


def architecture_of(command: LatencyCommand) -> Architecture:
    """Raises InputError: none is there, or it does not fit the size."""
    if command.arch_file is not None:
        a = Architecture.load(command.arch_file)
    elif command.run is not None:
        best = Path(command.run) / BEST_NAME
        if not best.is_file():
            raise InputError(
                f"run: {command.run} has no {BEST_NAME}; allowed: a run folder with a complete trial"
            )
        a = Architecture.load(best)
    elif "patch" in command.arch:
        raise InputError("arch: a DiT is no UNet; allowed: the other presets")
    else:
        a = Architecture.from_plain(command.arch, "arch")
    return a if command.size is None else replace(a, latent_size=command.size)


def measure(
    subject: MeasuredParts,
    command: LatencyCommand,
    runtimes: Sequence[Runtime],
    place: Place,
    on_done: OnDone,
) -> Measured:
    """One part after the other, its runtimes in turns."""
    timings: dict[str, Mapping[str, Timing]] = {}
    total, begin = command.rounds * len(command.parts), CpuMoment.now()
    for number, part in enumerate(command.parts):

        def on_round(done: int, of: int, before: int = number) -> None:
            on_done(before * of + done, total)

        timings[part] = part_timings(part, subject, runtimes, place, command.rounds, on_round)
    every = [timing for by_runtime in timings.values() for timing in by_runtime.values()]
    return Measured(runtimes, timings, quietness(begin, CpuMoment.now(), available_cpus(), every))


def part_timings(
    part: str,
    subject: MeasuredParts,
    runtimes: Sequence[str],
    place: Place,
    rounds: int,
    on_round: OnDone,
) -> Mapping[str, Timing]:
    module, inputs = subject.parts[part]()
    with ExitStack() as folders:
        exported = Path(folders.enter_context(TemporaryDirectory(prefix="mdsearch-latency-")))
        runs = {runtime: runner(module, inputs, runtime, place, exported) for runtime in runtimes}
        return alternating(runs, rounds, warm_up=2, on_round=on_round)


def table_rows(command: LatencyCommand, place: Place, measured: Measured) -> list[Table4Row]:
    def row(runtime: str, steps: int) -> Table4Row:
        text, decoder, unet = (
            measured.timings.get(part, {}).get(runtime) for part in ("text", "decoder", "unet")
        )
        return row_of(runtime, place.name(), text, decoder, unet, steps)

    return [row(runtime, steps) for runtime in measured.runtimes for steps in command.steps]


# ---------------------------------------------------------------------- what is printed


def as_json(
    subject: MeasuredParts, place: Place, measured: Measured, rows: list[Table4Row]
) -> dict[str, Any]:
    versions: dict[str, str] = {}
    for runtime in measured.runtimes:
        versions |= versions_of(runtime)
    return {
        "id": subject.id,
        "latent_size": subject.latent_size,
        "device": place.name(),
        "threads": place.threads if place.device == "cpu" else 0,
        "precision": place.precision,
        "versions": versions,
        "quiet": measured.quiet.believable,
        "others": measured.quiet.sentence(),
        "parts": {
            part: {
                runtime: {
                    "median_ms": timing.median,
                    "interval_ms": timing.interval,
                    "rounds": len(timing.times),
                    "times_ms": timing.times,
                }
                for runtime, timing in by_runtime.items()
            }
            for part, by_runtime in measured.timings.items()
        },
        "rows": [to_plain(row) for row in rows],
        "paper": [to_plain(row) for row in PAPERS_ROWS],
    }


def _print(
    subject: MeasuredParts,
    place: Place,
    measured: Measured,
    rows: list[Table4Row],
    lacking: Sequence[str],
) -> None:
    size = subject.latent_size
    threads = f", {place.threads} thread{'s' * (place.threads > 1)}" if place.device == "cpu" else ""
    print(f"{place.name()}{threads}; network {subject.id} at {size}x{size} latents; ms")
    table = Table()
    for name in ("", "text encoder", "decoder", "UNet", "steps", "overall", "95 %"):
        table.add_column(name, justify="left" if not name else "right")
    for row in rows:
        _add(table, row, row.model)
    table.add_section()
    for row in PAPERS_ROWS:
        _add(table, row, f"{row.model} (paper, {row.device})")
    command_console().print(table)
    for part, by_runtime in measured.timings.items():
        for runtime, timing in by_runtime.items():
            low, high = timing.interval
            print(
                f"{part} {runtime}: median {timing.median:.2f} ({low:.2f} to {high:.2f}), "
                f"{len(timing.times)} rounds"
            )
    for line in (measured.quiet.sentence(), *lacking):
        print(line)
    print(subject.whose)


def _add(table: Table, row: Table4Row, name: str) -> None:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"

    bounds = f"{number(row.low)} to {number(row.high)}" if row.low is not None else ""
    cells = (row.text, row.decoder, row.unet)
    table.add_row(name, *map(number, cells), str(row.steps), number(row.overall), bounds)

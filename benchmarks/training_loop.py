"""Our networks and diffusers' own in one training loop, in turns: images a second, and memory.

    python -m benchmarks.training_loop                        # four tables, some four minutes on a quiet core
    python -m benchmarks.training_loop layout=sd15 memory_format=channels_last threads=2
    python -m benchmarks.training_loop clock=cpu              # on a busy machine: time that this process got

A step makes a batch, the loss, gradients, their norm, a step of AdamW and of the mean of the weights. Both
networks begin with equal weights, and their first losses are shown to be equal. A large matrix product takes
its turn among them; the interval is of the median ratio of a round, by bootstrap. Memory is the most that a
process of its own holds beyond what it held before; weights, moments and means are part of it.
"""

from __future__ import annotations

import copy
import gc
import itertools
import multiprocessing
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.builder_networks import Contender, contenders
from benchmarks.lab import given_words
from benchmarks.measure import ratio_interval
from benchmarks.training_steps import CLOCKS, LoopComparison, loop_of
from space.shared.plain import InputError, from_plain
from training.loop import TrainingLoop

USUAL = {"layout": "sd15,md", "memory_format": "contiguous,channels_last", "rounds": "8"}
PRODUCT = "a matrix product"
SIDE = 1536
ALIKE = 1e-3  # of the first losses, by which two orders of summing drift apart
HEADINGS = ("images a second", "time, of diffusers' (95 %)", "GFLOP/s", "of the product's", "MiB at most")
Times = dict[str, list[float]]


def compare(c: LoopComparison, console: Console) -> None:
    torch.set_num_threads(c.threads)
    found = contenders(c)
    for one in found:  # contenders share weights
        one.network = copy.deepcopy(one.network)
    loops = {one.name: loop_of(one, c) for one in found}
    check_equal_losses(*(loops[one.name] for one in found[:2]))
    times = interleaved(loops, c)
    del loops
    gc.collect()
    memory = {one.name: peak_bytes(c, number) for number, one in enumerate(found)}
    console.print(f"\n**{c.title}**\n")
    console.print(table(found, times, memory, c))


def check_equal_losses(mine: TrainingLoop[nn.Module], theirs: TrainingLoop[nn.Module]) -> None:
    """Of the first two steps. Ends the benchmark where they are two trainings."""
    losses: tuple[list[float], list[float]] = ([], [])
    for loop, own in zip((mine, theirs), losses, strict=True):
        loop.train_to(2, lambda step, loss, own=own: own.append(loss))  # type: ignore[misc]
    if any(abs(one - other) > ALIKE * other for one, other in zip(*losses, strict=True)):
        raise SystemExit(f"not the same training: losses {losses[0]} and {losses[1]}")


def interleaved(loops: Mapping[str, TrainingLoop[nn.Module]], c: LoopComparison) -> Times:
    """Name -> seconds of each round: A B product, product B A, ... after one that does not count."""
    matrix = torch.randn(SIDE, SIDE)
    times: Times = {name: [] for name in (*loops, PRODUCT)}
    clock = CLOCKS[c.clock]
    for number in range(-1, c.rounds):
        for name in list(times) if number % 2 else reversed(list(times)):
            if name == PRODUCT:
                began = clock()
                matrix @ matrix
                seconds = clock() - began
            else:
                seconds = c.seconds_of(loops[name], c.steps)
            if number >= 0:
                times[name].append(seconds)
    return times


def table(found: list[Contender], times: Times, memory: Mapping[str, int], c: LoopComparison) -> Table:
    peak = 2 * SIDE**3 / median(times[PRODUCT]) / 1e9
    made = Table(box=box.MARKDOWN)
    made.add_column(f"product: {peak:,.0f} GFLOP/s", no_wrap=True)
    for heading in HEADINGS:
        made.add_column(heading, justify="right", no_wrap=True)
    for contender in found:
        seconds = times[contender.name]
        ratio, low, high = ratio_interval(seconds, times[found[1].name])
        rate = c.steps * contender.gflop(c) / median(seconds)
        made.add_row(
            contender.name,
            f"{c.steps * c.batch / median(seconds):.2f}",
            "1" if contender is found[1] else f"{ratio:.3f} ({low:.3f} to {high:.3f})",
            f"{rate:,.1f}",
            f"{rate / peak:.0%}",
            f"{memory[contender.name] / 2**20:,.0f}",
        )
    return made


def peak_bytes(c: LoopComparison, number: int) -> int:
    """Of two steps of a contender, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_bytes, (c, number))


def _peak_bytes(c: LoopComparison, number: int) -> int:
    torch.set_num_threads(c.threads)
    before = _resident("VmRSS")
    loop_of(contenders(c)[number], c).train_to(2)
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    """Bytes of this process, now or at most. Not by `getrusage`, which says what its parent held at most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def comparisons(words: list[str]) -> list[LoopComparison]:
    """Every combination of the values that the words give. Raises InputError, naming the setting."""
    given = USUAL | given_words(words, [field.name for field in fields(LoopComparison)])
    choices: list[list[tuple[str, Any]]] = [
        [(name, yaml.safe_load(value)) for value in values.split(",")] for name, values in given.items()
    ]
    found = [from_plain(LoopComparison, dict(picked)) for picked in itertools.product(*choices)]
    if any(c.device != "cpu" or c.compile for c in found):
        raise InputError("device, compile: are those of benchmarks.gpu_training; allowed here: cpu, false")
    return found


def main(words: list[str]) -> int:
    console = Console(width=200, highlight=False, soft_wrap=True)
    try:
        wanted = comparisons(words)
        console.print(f"{date.today()}, torch {torch.__version__}, diffusers {version('diffusers')}")
        for c in wanted:
            compare(c, console)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A GPU in under 12 minutes: MD and SD-1.5 in training at 64x64 latents, beside diffusers' modules.

    python -m benchmarks.gpu_training FOLDER [minutes=11] [device=cuda] [precision=bf16] [steps=6] [first=8]
    python -m benchmarks.gpu_training FOLDER narrower=8 size=8 device=cpu precision=fp32 first=1 most=2

The second runs anywhere. For each network the batch is doubled until images a second stop rising or memory
ends; at the best one it is trained channels_last, too, and in the faster of both layouts with its blocks
compiled (diffusers' by its own compile_repeated_blocks). A step is that of benchmarks.training_loop. What
would not end within `minutes` is not begun, and said; the same words go on with FOLDER, where training.md is
the table. Aims at full width in bf16: 1.2 times diffusers' images a second, 45 % of the product's rate.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.builder_networks import Contender, contenders
from benchmarks.lab import in_folder, run_as_command
from benchmarks.measure import matrix_product_gflops
from benchmarks.training_steps import LoopComparison, loop_of
from evaluators.latency.journal import Journal
from evaluators.latency.runtimes import DTYPES, Place, versions_of
from training.execution import CompiledBlocks
from training.failures import is_out_of_memory

LAYOUTS: tuple[Literal["md", "sd15"], ...] = ("md", "sd15")
COLUMNS = ("contiguous", "channels_last", "compiled")
RISES = 1.03  # by less, a batch twice as large is not worth its memory
AIMED_RATIO, AIMED_SHARE = 1.2, 0.45  # of diffusers' images a second, and of the product's rate
SAME = ("precision", "narrower", "size", "first", "most", "steps")  # of all that one folder holds
LONGER = 2.5  # times: what the next cell of a column may take, by the longest so far
FIRST = {"contiguous": 60.0, "channels_last": 20.0, "compiled": 90.0}  # seconds, before any has been seen


@dataclass(frozen=True)
class Chosen:
    """The words. Batches are `first`, twice that, ... up to `most`; each is timed over `steps`."""

    folder: str
    device: Literal["cuda", "cpu"] = "cuda"
    precision: Literal["bf16", "fp32"] = "bf16"
    narrower: int = 1
    size: int = 64
    first: int = 8
    most: int = 512
    steps: int = 6
    minutes: float = 11.0

    def comparison(self, layout: Literal["md", "sd15"]) -> LoopComparison:
        return LoopComparison(
            layout=layout,
            narrower=self.narrower,
            size=self.size,
            precision=self.precision,
            device=self.device,
            steps=self.steps,
        )


Cell = dict[str, Any]


def main(words: list[str]) -> int:
    print(report(in_folder(Chosen, words)))
    return 0


def report(chosen: Chosen) -> str:
    """What there is time for, measured; the table, which FOLDER then holds."""
    until = time.monotonic() + 60 * chosen.minutes
    place = Place(chosen.device, 1, chosen.precision)
    peak = matrix_product_gflops(chosen.device, DTYPES[chosen.precision])
    same = {name: vars(chosen)[name] for name in SAME}
    about = {"device": place.name(), "versions": versions_of("eager"), **same}
    journal = Journal(Path(chosen.folder) / "training.jsonl", about)
    names = [name for layout in LAYOUTS for name in measured(chosen, layout, journal, until)]
    text = "\n".join(lines(names, chosen, journal, place.name(), peak))
    (Path(chosen.folder) / "training.md").write_text(text + "\n", encoding="utf-8")
    return text


# ---------------------------------------------------------------------- measuring


def measured(chosen: Chosen, layout: Literal["md", "sd15"], journal: Journal, until: float) -> list[str]:
    """The names of a layout's networks, what there is time for being in the journal."""
    c = chosen.comparison(layout)
    found = contenders(c)
    for column in COLUMNS:
        for one in found:
            key, began = f"{one.name} {column}", time.monotonic()
            if key in journal.results or began + needed(column, journal) > until:
                continue
            cell = of_column(one, column, c, chosen, journal.results)
            if cell is not None:
                journal.add(key, **cell, seconds=time.monotonic() - began)
                print(f"{key}: {journal.results[key]}", flush=True)
    return [one.name for one in found]


def needed(column: str, journal: Journal) -> float:
    took = [found["seconds"] for key, found in journal.results.items() if key.endswith(f" {column}")]
    return LONGER * max(took) if took else FIRST[column]


def of_column(
    one: Contender, column: str, c: LoopComparison, chosen: Chosen, results: dict[str, Cell]
) -> Cell | None:
    """None where what it follows from was not measured, or did not fit."""
    if column == "contiguous":
        one.network.to(memory_format=torch.contiguous_format)
        return best_batch(one, c, chosen)
    eager = results.get(f"{one.name} contiguous")
    if eager is None:
        return None
    c = replace(c, batch=eager["batch"], memory_format="channels_last")
    if column == "compiled":
        last = results.get(f"{one.name} channels_last", {"rate": 0.0})
        if eager["rate"] > last["rate"]:
            c = replace(c, memory_format="contiguous")
            one.network.to(memory_format=torch.contiguous_format)
        compile_blocks(one, c.device)
    return timed(one, c)


def best_batch(one: Contender, c: LoopComparison, chosen: Chosen) -> Cell | None:
    best, batch = None, chosen.first
    while batch <= chosen.most:
        cell = timed(one, replace(c, batch=batch))
        if cell is None or (best is not None and cell["rate"] < RISES * best["rate"]):
            break
        best, batch = cell, 2 * batch
    return best


def timed(one: Contender, c: LoopComparison) -> Cell | None:
    """Images a second, MiB at most, and what the first two steps took beyond others; None: out of memory."""
    gc.collect()
    others = 0
    if c.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        own = sum(parameter.nbytes for parameter in one.network.parameters())
        others = torch.cuda.memory_allocated() - own
    try:
        loop = loop_of(one, c)
        begun = c.seconds_of(loop, 2)
        seconds = c.seconds_of(loop, c.steps) / c.steps
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None
    return {
        "batch": c.batch,
        "rate": c.batch / seconds,
        "gflops": one.gflop(c) / seconds,
        "mib": (torch.cuda.max_memory_allocated() - others) / 2**20 if c.device == "cuda" else None,
        "begun": max(0.0, begun - 2 * seconds),
        "layout": c.memory_format,
    }


def compile_blocks(one: Contender, device: str) -> None:
    network: Any = one.network
    if hasattr(network, "compile_repeated_blocks"):  # diffusers' own way
        network.compile_repeated_blocks(fullgraph=True, dynamic=False)
    else:
        CompiledBlocks([network], device)


# ---------------------------------------------------------------------- the table


def lines(names: list[str], chosen: Chosen, journal: Journal, device: str, peak: float) -> Iterator[str]:
    yield (
        f"{date.today()}, {device}, torch {torch.__version__}, diffusers {version('diffusers')}, "
        f"{chosen.precision}, {chosen.size}x{chosen.size} latents; a matrix product: {peak:,.0f} GFLOP/s\n"
    )
    heads = ("eager, contiguous", "eager, channels_last", "compiled per block", "of diffusers'")
    yield "| network | batch | " + " | ".join(heads) + " |"
    yield "|---|---|" + "---|" * len(heads)
    for name in names:
        cells = [journal.results.get(f"{name} {column}") for column in COLUMNS]
        batch = "-" if cells[0] is None else str(cells[0]["batch"])
        words = [_cell(cell, peak) for cell in cells]
        yield f"| {name} | {batch} | {' | '.join(words)} | {_ratio(name, journal)} |"
    yield ""
    yield from (_against_the_aims(name, journal, peak) for name in names if name.startswith("ours"))


def _cell(cell: Cell | None, peak: float) -> str:
    """Images a second, the share of the product's rate, memory, and what compiling took."""
    if cell is None:
        return "not measured"
    parts = [f"{cell['rate']:.1f}/s", f"{cell['gflops'] / peak:.0%}"]
    if cell["mib"] is not None:
        parts.append(f"{cell['mib']:,.0f} MiB")
    if cell["of"].endswith("compiled"):
        parts.append(f"{cell['layout']}, {cell['begun']:.0f} s to compile")
    return ", ".join(parts)


def _ratio(name: str, journal: Journal) -> str:
    """The best column against the best of diffusers' module of the same layout."""
    who, _, what = name.partition(", ")
    mine, theirs = (_best(each, "rate", journal) for each in (name, f"diffusers, {what}"))
    return "-" if who != "ours" or not mine or not theirs else f"{mine / theirs:.2f}"


def _against_the_aims(name: str, journal: Journal, peak: float) -> str:
    """A line of what came out beside what was aimed at."""
    ratio, share = _ratio(name, journal), _best(name, "gflops", journal) / peak
    parts = [] if ratio == "-" else [f"{ratio} times diffusers (aim: {AIMED_RATIO})"]
    parts += [f"{share:.0%} of the product's rate (aim: {AIMED_SHARE:.0%})"] if share else ["not measured"]
    return f"{name}: {', '.join(parts)}"


def _best(name: str, what: str, journal: Journal) -> float:
    found = (journal.results.get(f"{name} {column}") for column in COLUMNS)
    return max((float(cell[what]) for cell in found if cell is not None), default=0.0)


if __name__ == "__main__":
    run_as_command(main, __doc__)

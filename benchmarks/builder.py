"""Our builder against diffusers' module of the same layout with the same weights, side by side in one run.

    python -m benchmarks.builder layout=sd15,sdxl,md
    python -m benchmarks.builder layout=sd15 narrower=1 size=64 batch=8 device=cuda precision=bf16 \\
        memory_format=contiguous,channels_last compile=false,true

Any setting of `Comparison` takes one value or several, and every combination is a table. Outputs and
gradients are shown to be equal in fp32 before anything is timed. The networks then take turns, each round
in the opposite order of the last; the interval is of the median ratio of a round, by bootstrap.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import Any

import torch
import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.builder_networks import Comparison, Contender, Inputs, check_equal, contenders, random_inputs
from benchmarks.measure import (
    KINDS,
    REST,
    held_for_backward,
    interleaved_ms,
    matrix_product_gflops,
    ms_by_kind,
    peak_gpu_bytes,
    ratio_interval,
)
from space.prices.macs import price
from space.shared.plain import InputError, from_plain


def compare(c: Comparison, console: Console) -> None:
    torch.set_num_threads(c.threads)
    with torch.set_grad_enabled(c.trains):
        found = contenders(c)
        given = random_inputs(found[0].architecture, c)
        for contender in found:
            contender.network.train(c.trains)
        equality = check_equal(found[0], found[1], given, c)
        given = _prepared(found, given, c)
        times = interleaved_ms({one.name: partial(one.step, given, c) for one in found}, c.rounds)
        peak = matrix_product_gflops(c.device, torch.bfloat16 if c.precision == "bf16" else torch.float32)
        console.print(f"\n**{c.title}**: {equality}; a large matrix product {peak:,.0f} GFLOP/s\n")
        console.print(_table(found, times, peak, given, c))
        console.print(_kinds_table(found, given, c))


def _prepared(found: list[Contender], given: Inputs, c: Comparison) -> Inputs:
    """Networks and inputs in the memory format asked for, compiled if asked for."""
    for contender in found:
        if c.memory_format == "channels_last":
            contender.network.to(memory_format=torch.channels_last)
        if c.compile:
            contender.network = torch.compile(contender.network)  # type: ignore[assignment]
    if c.memory_format == "contiguous":
        return given
    return given._replace(latents=given.latents.contiguous(memory_format=torch.channels_last))


def _table(
    found: list[Contender], times: dict[str, list[float]], peak: float, given: Inputs, c: Comparison
) -> Table:
    headings = ["M parameters", "GMACs", "ms: median", "least", "most", "to diffusers (95 %)", "GFLOP/s"]
    headings += ["of the product's", "MiB for backward"]
    table = _markdown("network", headings + (["MiB at most"] if c.device == "cuda" else []))
    for contender in found:
        ms, cost = times[contender.name], price(contender.architecture)
        rate = contender.gflop(c) / (median(ms) / 1e3)
        ratio, low, high = ratio_interval(ms, times[found[1].name])
        cells = [
            contender.name,
            f"{cost.parameters / 1e6:.1f}",
            f"{cost.gmacs:.2f}",
            *(f"{value:,.1f}" for value in (median(ms), min(ms), max(ms))),
            "1" if contender is found[1] else f"{ratio:.3f} ({low:.3f} to {high:.3f})",
            f"{rate:,.0f}",
            f"{rate / peak:.0%}",
            _held(contender, given, c),
        ]
        if c.device == "cuda":
            cells.append(f"{peak_gpu_bytes(partial(contender.step, given, c)) / 2**20:,.0f}")
        table.add_row(*cells)
    return table


def _held(contender: Contender, given: Inputs, c: Comparison) -> str:
    if not c.trains or c.compile:  # hooks would make the compiler start again
        return "-"
    with held_for_backward(contender.network) as held:
        out = contender.forward(given, c)
    del out
    return f"{sum(held.values()) / 2**20:,.0f}"


def _kinds_table(found: list[Contender], given: Inputs, c: Comparison) -> Table:
    by_kind = [ms_by_kind(partial(one.step, given, c), c.device) for one in found]
    table = _markdown("ms of a profiled step", [contender.name for contender in found])
    for kind in [*(kind for kind, _ in KINDS), REST]:
        own = [kinds.get(kind, 0.0) for kinds in by_kind]
        if any(own):
            shares = [ms / sum(kinds.values()) for ms, kinds in zip(own, by_kind, strict=True)]
            table.add_row(kind, *(f"{ms:,.1f} ({share:.0%})" for ms, share in zip(own, shares, strict=True)))
    return table


def _markdown(first: str, headings: list[str]) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


# ---------------------------------------------------------------------- the command


def comparisons(words: list[str]) -> list[Comparison]:
    """Every combination of the values that the words give, the first word varying slowest.

    Raises:
        InputError: naming the setting and what is allowed.
    """
    choices: list[list[tuple[str, Any]]] = []
    for word in words:
        name, sign, values = word.partition("=")
        if not sign:
            raise InputError(f"{word!r}: expected name=value or name=value,value")
        choices.append([(name, yaml.safe_load(value)) for value in values.split(",")])
    found = [from_plain(Comparison, dict(picked)) for picked in itertools.product(*choices)]
    if any(c.device == "cuda" for c in found) and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for, and torch sees none here; allowed: cpu")
    return found


def main(words: list[str]) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports a missing GPU as an error
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # fp32 is fp32: no TF32
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    console = Console(width=200, highlight=False, soft_wrap=True)
    try:
        wanted = comparisons(words)
        gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
        console.print(f"torch {torch.__version__}, diffusers {version('diffusers')}{gpu}")
        for c in wanted:
            compare(c, console)
            gc.collect()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Candidates priced a second on one core, in closed form and by the two counters, side by side in one run.

    python -m benchmarks.pricing [closed=30000] [built=10]

Closed form prices architectures that are sampled beforehand around MD, all different,
with its cache of costs empty at the start. The counters build each network: PyTorch's on meta tensors at
full width, fvcore on the CPU on copies an eighth as wide (it computes the pass), so its ratio flatters it.
"""

from __future__ import annotations

import logging
import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.lab import given_counts, run_as_command
from space.architecture import Architecture, Level
from space.prices.counters import fvcore_count, meta_count
from space.prices.macs import cost_of, price

REQUIRED_PER_SECOND = 10_000
NARROWER = 8


def sampled(count: int, seed: int = 0) -> list[Architecture]:
    """So many architectures around MD, all different."""
    rng = random.Random(seed)
    found: dict[Architecture, None] = {}
    while len(found) < count:
        a = _candidate(rng)
        found[a] = None
    return list(found)


def _candidate(rng: random.Random) -> Architecture:
    def level(channels: int, most_layers: int) -> Level:
        down = tuple(rng.randint(0, most_layers) for _ in range(rng.randint(1, 2)))
        up = tuple(rng.randint(0, most_layers) for _ in range(len(down) + 1))
        conv = rng.choice(("full", "separable"))
        return Level(channels, conv, down, up, rng.random() < 0.5, rng.random() < 0.5)  # type: ignore[arg-type]

    return Architecture(
        levels=(
            level(rng.choice((192, 256, 320)), 0),
            level(rng.choice((448, 512, 640)), 2),
            level(rng.choice((768, 896, 1024, 1280)), 4),
        ),
        separable_expansion=rng.choice((2, 3, 4)),
        feed_forward_ratio=rng.choice((2, 3, 4)),
        shared_key_value=rng.random() < 0.5,
    )


def per_second(count: Callable[[Architecture], object], candidates: Sequence[Architecture]) -> float:
    start = time.process_time()  # of this process, so that neighbours on the machine don't enter
    for candidate in candidates:
        count(candidate)
    return len(candidates) / (time.process_time() - start)


def narrowed(a: Architecture) -> Architecture:
    levels = tuple(replace(level, channels=level.channels // NARROWER) for level in a.levels)
    return replace(a, levels=levels, head_width=64 // NARROWER, norm_groups=32 // NARROWER)


def main(words: list[str]) -> int:
    counts = given_counts(words, {"closed": 30_000, "built": 10})
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    candidates = sampled(counts["closed"])
    few = candidates[: counts["built"]]
    narrow = [narrowed(a) for a in few]
    meta_count(narrow[0])  # imports and caches of torch, outside the clock
    fvcore_count(narrow[0])
    cost_of.cache_clear()

    rates = {
        "closed form (space.prices.macs.price)": per_second(price, candidates),
        "built on meta, PyTorch's FlopCounterMode": per_second(meta_count, few),
        f"built on the CPU 1/{NARROWER} as wide, fvcore": per_second(fvcore_count, narrow),
    }
    agree = all(price(a) == meta_count(a)[:3] for a in few[:2])
    fastest = next(iter(rates.values()))
    table = Table(
        title=f"{len(candidates):,} candidates in closed form, {len(few)} built; torch {torch.__version__}"
    )
    for heading in ("pricing by", "candidates per second", "closed form is faster by"):
        table.add_column(heading, justify="left" if heading == "pricing by" else "right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.1f}", f"{fastest / rate:,.0f} x")
    Console(width=110).print(table)
    print(f"required: {REQUIRED_PER_SECOND:,} a second; the counts agree: {'yes' if agree else 'NO'}")
    return 0 if agree and fastest >= REQUIRED_PER_SECOND else 1


if __name__ == "__main__":
    run_as_command(main, __doc__)

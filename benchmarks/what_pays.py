"""What the paper says pays (sections 3.2 and 3.3), measured: pairs of networks that differ in one decision.

    python -m benchmarks.what_pays [threads=2] [rounds=9] [runtimes=eager,compiled,onnx] [narrower=1]

At full width 13 minutes on two quiet cores; `narrower=8` divides all widths, to see that it runs.
Prints a markdown table: MACs and milliseconds of one evaluation that a decision saves, the median of the
rounds' differences with its 95 % interval.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.lab import given_words, run_as_command, whole_number
from evaluators.latency.quiet import CpuMoment, quietness
from evaluators.latency.runtimes import Place, runner
from evaluators.latency.timing import Timing, alternating
from evaluators.latency.whole import unet_inputs, unet_module
from search.named import named_architecture
from space.architecture import Architecture
from space.prices.macs import price
from space.shared.cpus import available_cpus

PAPERS_PROXY = 1  # a level of the paper's network: the one at 32x32


@dataclass(frozen=True)
class Decision:
    """One of the paper's: what it was before, and what it became."""

    name: str
    before: Architecture
    after: Architecture

    @property
    def macs_saved(self) -> float:
        """As a share."""
        return 1 - price(self.after).macs / price(self.before).macs


@dataclass(frozen=True)
class Saved:
    """ms: before, after, and the difference with its interval."""

    before: float
    after: float
    saved: float
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.saved / self.before


def decisions(md: Architecture) -> list[Decision]:
    """MD is what became of it, but for relu attention, to which a trained network is tuned afterwards."""
    at_32 = md.levels[PAPERS_PROXY]
    full = tuple(replace(level, conv="full") for level in md.levels)
    attending = replace(at_32, self_attention=True)
    with_attention = (*md.levels[:PAPERS_PROXY], attending, *md.levels[PAPERS_PROXY + 1 :])
    return [
        Decision("relu attention, softmax before", md, replace(md, attention="relu")),
        Decision("swish, gelu before", replace(md, activation="gelu"), md),
        Decision("one projection for K and V, two before", replace(md, shared_key_value=False), md),
        Decision("separable convolutions innermost, full before", replace(md, levels=full), md),
        Decision("no self-attention at 32x32", replace(md, levels=with_attention), md),
    ]


def narrowed(a: Architecture, narrower: int) -> Architecture:
    levels = tuple(replace(level, channels=level.channels // narrower) for level in a.levels)
    head_width, groups = max(1, 64 // narrower), max(1, 32 // narrower)
    return replace(a, levels=levels, head_width=head_width, norm_groups=groups, latent_size=64 // narrower)


def saved_by(decision: Decision, runtime: str, place: Place, rounds: int) -> Saved:
    """Both networks in turns."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        runs = {
            name: runner(unet_module(a), unet_inputs(a), runtime, place, Path(folder))
            for name, a, folder in (("before", decision.before, one), ("after", decision.after, other))
        }
        timed = alternating(runs, rounds, warm_up=2)
    return difference_of(timed["before"], timed["after"])


def difference_of(before: Timing, after: Timing) -> Saved:
    each = Timing(tuple(one - other for one, other in zip(before.times, after.times, strict=True)))
    return Saved(before.median, after.median, each.median, *each.interval)


def table(decisions: Sequence[Decision], found: dict[tuple[str, str], Saved], runtimes: Sequence[str]) -> str:
    heads = ["the paper's decision", "MACs saved", *(f"{runtime}: ms saved" for runtime in runtimes)]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---|" * (len(heads) - 1)]
    for decision in decisions:
        cells = [decision.name, f"{decision.macs_saved:+.1%}"]
        for runtime in runtimes:
            one = found[decision.name, runtime]
            cells.append(
                f"{one.saved:+.0f} of {one.before:.0f} ({one.low:+.0f} to {one.high:+.0f}; {one.share:+.1%})"
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    numbers = {"threads": available_cpus(), "rounds": 9, "narrower": 1}
    given = given_words(words, (*numbers, "runtimes"))
    runtimes = given.pop("runtimes", "eager,compiled,onnx").split(",")
    numbers |= {name: whole_number(name, value) for name, value in given.items()}
    place, begin = Place("cpu", numbers["threads"]), CpuMoment.now()
    for runtime in runtimes:
        place.check(runtime)
    md = named_architecture("md")
    pairs = decisions(narrowed(md, numbers["narrower"]) if numbers["narrower"] > 1 else md)
    found: dict[tuple[str, str], Saved] = {}
    for decision in pairs:
        for runtime in runtimes:
            found[decision.name, runtime] = saved_by(decision, runtime, place, numbers["rounds"])
            print(f"{decision.name}, {runtime}: {found[decision.name, runtime]}", file=sys.stderr, flush=True)
    print(f"{place.name()}, {place.threads} threads, {numbers['rounds']} rounds, fp32, one image\n")
    print(table(pairs, found, runtimes))
    print("\n" + quietness(begin, CpuMoment.now(), available_cpus(), []).sentence())
    return 0


if __name__ == "__main__":
    run_as_command(main, __doc__)

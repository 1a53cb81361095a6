"""A price list measured here: pairs of chains for every part, then whole networks that calibrate the sum."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch

from evaluators.latency.journal import Journal
from evaluators.latency.probes import ChainPair, Probe, build_probe, pair
from evaluators.latency.runtimes import Place, runner, versions_of
from evaluators.latency.timing import Clock, TimedRun, Timing, alternating, rounds_within, timed_once
from evaluators.latency.whole import seeded, whole_timing
from space.candidates import Candidate
from space.choices import UniformSuggestions
from space.prices.calibration import MeasuredNetwork
from space.prices.candidates import candidate_price
from space.prices.latency import Entry, PriceList
from space.prices.parts import TimedPart
from space.search_space import AnySpace, SearchSpace
from space.shared.plain import InputError, to_plain
from space.shared.seeds import numbered_seed

_OnDone = Callable[[int, int], None]
Net = TypeVar("Net", bound=Candidate)
TRIES = 200  # random networks for each that is wanted
MOST_TO_CHOOSE_FROM = 10  # random networks for each that is measured to fit sums to


@dataclass(frozen=True)
class Effort:
    """How long an entry and a whole network are measured."""

    seconds: float = 5.0
    least: int = 5
    most: int = 41
    clock: Clock = time.perf_counter


def measured_list(
    space: AnySpace,
    design: Sequence[TimedPart],
    networks: Sequence[Candidate],
    runtime: str,
    place: Place,
    journal: Path,
    *,
    effort: Effort = Effort(),
    on_done: _OnDone = lambda done, of: None,
) -> PriceList:
    """Entries for all of a design, and `networks` that calibrate their sum. What `journal` holds of it is not
    measured again; it is removed by whoever has kept the list.

    Raises:
        InputError: a journal of another measurement, or a runtime that does not run here.
        OSError: the journal cannot be written.
    """
    place.check(runtime)
    about = about_list(space, runtime, place)
    kept = Journal(journal, {**about, "entries": len(design), "networks": [a.id for a in networks]})
    total = len(design) + len(networks)
    on_done(len(kept.results), total)
    left = [part for part in design if str(part) not in kept.results]
    for part, found in _timed_pairs(left, runtime, place, effort):
        kept.add(str(part), **found)
        on_done(len(kept.results), total)
    for a in networks:
        if a.id not in kept.results:
            timing = whole_timing(
                a,
                runtime,
                place,
                seconds=2 * effort.seconds,
                least=effort.least,
                most=effort.most,
                clock=effort.clock,
            )
            kept.add(a.id, count=len(timing.times), mean_ms=timing.mean, spread_ms=timing.spread)
        on_done(len(kept.results), total)
    fields = ("count", "mean_ms", "spread_ms")
    entries = tuple(Entry.of(part, *(kept.results[str(part)][name] for name in fields)) for part in design)
    today = date.today().isoformat()
    whole = tuple(
        MeasuredNetwork(a.to_plain(), *(kept.results[a.id][name] for name in fields)) for a in networks
    )
    return PriceList(**about, date=today, entries=entries, whole=whole).calibrated()


def about_list(space: AnySpace, runtime: str, place: Place) -> dict[str, Any]:
    """What a list says of itself, but for its date."""
    return {
        "device": place.name(),
        "runtime": runtime,
        "versions": versions_of(runtime),
        "precision": place.precision,
        "threads": place.threads if place.device == "cpu" else 0,
        "space": to_plain(space),
    }


def sampled_networks(
    space: SearchSpace[Net],
    count: int,
    seed: int,
    purpose: str,
    fits: Callable[[Net], bool],
    tries: int | None = None,
) -> list[Net]:
    """So many different networks that fit, at random; of another purpose others. Fewer where the space has no
    more, or they are hard to find."""
    found: dict[str, Net] = {}
    for number in range(TRIES * count if tries is None else tries):
        if len(found) == count:
            break
        chance = random.Random(numbered_seed(seed, f"latency {purpose}", number))
        a = space.sample(UniformSuggestions(chance))
        if fits(a):
            found.setdefault(a.id, a)
    return list(found.values())


def calibrating_networks(
    space: SearchSpace[Net], count: int, seed: int, fits: Callable[[Net], bool]
) -> list[Net]:
    """Those to which the sums of a list are fitted: of many random ones, in even steps from the fewest MACs
    to the most, since a fit to networks that are alike says nothing of others. Raises InputError where fewer
    are found."""
    found = sampled_networks(space, MOST_TO_CHOOSE_FROM * count, seed, "calibration", fits, TRIES * count)
    if len(found) < count:
        raise InputError(
            f"networks: {len(found)} of {count} fit the budget, in {TRIES * count} random ones; "
            f"allowed: a wider budget; nearest: networks={len(found)}"
        )
    by_macs = sorted(found, key=lambda a: candidate_price(a).macs)
    if count < 2:
        return by_macs[len(by_macs) // 2 :][:count]
    places = np.linspace(0, len(by_macs) - 1, count).tolist()
    return [by_macs[round(place)] for place in places]


# ---------------------------------------------------------------------- pairs of chains


def _timed_pairs(
    parts: Sequence[TimedPart], runtime: str, place: Place, effort: Effort
) -> Iterator[tuple[TimedPart, dict[str, Any]]]:
    """Pairs that share a chain follow each other, so that it is made once."""
    pairs = sorted((pair(part) for part in parts), key=lambda one: one.fewer.name())
    held: dict[Probe, tuple[TemporaryDirectory[str], TimedRun]] = {}
    try:
        for one in pairs:
            for probe in [probe for probe in held if probe != one.fewer]:
                held.pop(probe)[0].cleanup()
            for probe in (one.fewer, one.more):
                if probe not in held:
                    folder = TemporaryDirectory(prefix="mdsearch-latency-")
                    held[probe] = folder, probe_run(probe, runtime, place, Path(folder.name))
            yield one.part, timed_difference(one, held[one.more][1], held[one.fewer][1], effort)
    finally:
        for folder, _ in held.values():
            folder.cleanup()


def probe_run(probe: Probe, runtime: str, place: Place, folder: Path) -> TimedRun:
    with torch.device(place.device):
        module, takes = build_probe(probe)
    again = {name: seeded(tuple(value.shape), 1) for name, value in takes.items()}
    return runner(module, [takes, again], runtime, place, folder)


def timed_difference(one: ChainPair, more: TimedRun, fewer: TimedRun, effort: Effort) -> dict[str, Any]:
    """Count, mean and spread of what one part takes, from the differences of the chains round by round."""
    for run in (more, fewer):
        run(0)  # which may compile for minutes
    warm = sum(timed_once(run, 1, effort.clock) for run in (more, fewer))
    rounds = rounds_within(effort.seconds, warm, effort.least, effort.most)
    timed = alternating({"more": more, "fewer": fewer}, rounds, warm_up=0, clock=effort.clock)
    rows = zip(timed["more"].times, timed["fewer"].times, strict=True)
    each = Timing(tuple((long - short) / one.times for long, short in rows))
    return {"count": rounds, "mean_ms": max(0.0, each.mean), "spread_ms": each.spread}

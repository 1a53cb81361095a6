"""`mdsearch latency check`: predictions of a price list beside networks measured whole."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from conf.compose import compose
from conf.words import as_text
from evaluators.latency.held_out import EQUAL_MACS, ListVerdict, TimesSpread, Whole, verdict_of_list
from evaluators.latency.journal import Journal
from evaluators.latency.lists import sampled_networks
from evaluators.latency.quiet import CpuMoment, quiet_since
from evaluators.latency.repeats import measure_twice
from evaluators.latency.runtimes import EXPORTED_BYTES_PER_PARAMETER, Place, places_here, versions_of
from mdsearch.progress import shown_progress
from search.latency import latency_notes
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.prices.latency import PriceList
from space.prices.macs import price
from space.shared.console import command_console
from space.shared.disk import refuse_little_disk
from space.shared.plain import InputError, from_plain, to_plain

AT_ONCE = 2  # networks that are exported
CHECK_TEXTS = ("prices", "out")


@dataclass(frozen=True)
class CheckCommand:
    """The fields of conf/latency_check.yaml."""

    space: Space
    budget: Budget
    prices: str
    networks: int = 30
    equal: int = 12
    rounds: int = 7
    seed: int = 0
    out: str | None = None
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        for name, least in (("networks", 4), ("equal", 0), ("rounds", 2)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: {least} or more")


def main(words: list[str]) -> int:
    command: CheckCommand = from_plain(CheckCommand, compose("latency_check", as_text(words, CHECK_TEXTS)))
    prices = PriceList.load(command.prices)
    place = place_of_list(prices, command.prices)
    random, equal = held_out_networks(command, prices)
    for a in (*random, *equal):
        prices.milliseconds(a)  # refuses what the list does not hold before anything is measured
    if prices.runtime.startswith("onnx"):
        largest = max(price(a).parameters for a in (*random, *equal))
        refuse_little_disk(AT_ONCE * EXPORTED_BYTES_PER_PARAMETER * largest)
    notes = latency_notes(Budget(prices=command.prices))
    journal = _journal(command, prices)
    kept, begin = set(journal.results), CpuMoment.now()
    measured = _measured(command, prices, place, [*random, *equal], journal)
    verdict = verdict_of_list(measured[: len(random)], measured[len(random) :])
    before = sum(one.id in kept for one in measured)
    quiet = quiet_since(begin, before, len(measured), journal.path)
    if command.format == "json":
        plain = {"list": prices.describe(), "holds": verdict.holds, "quiet": quiet, "notes": notes}
        print(json.dumps(plain | to_plain(verdict) | {"measured": to_plain(measured)}, indent=2))
    else:
        _print(verdict, measured, prices)
        print("\n".join([quiet, *notes]))
    return 0 if verdict.holds else 1


def place_of_list(prices: PriceList, file: str) -> Place:
    """Where a list was measured. Raises InputError: on another device."""
    here = places_here()
    if prices.device not in here:
        raise InputError(
            f"prices: {file} is of {prices.device}, and this is {' and '.join(here)}; allowed: a list of "
            "this device"
        )
    place = here[prices.device]
    threads = prices.threads if place.device == "cpu" else place.threads
    return replace(place, threads=threads, precision=prices.precision)


def held_out_networks(
    command: CheckCommand, prices: PriceList
) -> tuple[list[Architecture], list[Architecture]]:
    """Random ones that fit the budget, none of which the list was fitted to; and others within 5 % of the
    MACs that are the middle of those."""
    seen = {one.network.id for one in prices.whole}

    def fits(a: Architecture) -> bool:
        return a.id not in seen and not command.budget.excess(a)

    random = sampled_networks(command.space, command.networks, command.seed, "check", fits)
    if len(random) < 4:
        raise InputError("networks: fewer than 4 of this space fit the budget; allowed: a wider budget")
    middle = sorted(price(a).macs for a in random)[len(random) // 2]
    seen |= {a.id for a in random}

    def near(a: Architecture) -> bool:
        return abs(price(a).macs / middle - 1) <= EQUAL_MACS / 2 - 0.001 and fits(a)

    equal = (
        sampled_networks(command.space, command.equal, command.seed, "equal", near) if command.equal else []
    )
    return random, equal


def _journal(command: CheckCommand, prices: PriceList) -> Journal:
    about = {
        "runtime": prices.runtime,
        "versions": versions_of(prices.runtime),
        "precision": prices.precision,
        "threads": prices.threads,
        "device": prices.device,
        "rounds": command.rounds,
    }
    return Journal(Path(command.out or f"{command.prices}.check"), about)


def _measured(
    command: CheckCommand,
    prices: PriceList,
    place: Place,
    networks: Sequence[Architecture],
    journal: Journal,
) -> list[Whole]:
    with shown_progress(command_console(stderr=True), "networks") as on_done:
        measure_twice(
            networks,
            prices.runtime,
            place,
            journal,
            rounds=command.rounds,
            clock=time.perf_counter,
            on_done=on_done,
        )
    return [whole_of(a, prices, journal.results[a.id]) for a in networks]


def whole_of(a: Architecture, prices: PriceList, visits: Mapping[str, Any]) -> Whole:
    """A network's prediction beside the median of all its rounds."""
    first, again = visits["times_ms"], visits["again_ms"]
    measured = median([*first, *again])
    return Whole(a.id, price(a).gmacs, prices.milliseconds(a), measured, median(first), median(again))


def _print(verdict: ListVerdict, measured: Sequence[Whole], prices: PriceList) -> None:
    print("network        GMACs  predicted  measured (ms)  error")
    for one in measured:
        print(f"{one.id}  {one.gmacs:6.1f}  {one.predicted:9.1f}  {one.measured:13.1f}  {one.error:.1%}")
    print(f"\n{prices.describe()}")
    print(
        f"{verdict.networks} networks never measured for the list: error median {verdict.median_error:.1%}, "
        f"mean {verdict.mean_error:.1%}, worst {verdict.worst_error:.1%}; rank correlation "
        f"{verdict.rank_correlation:.3f}"
    )
    print(
        f"a line through their MACs: mean error {verdict.macs_error:.1%}, rank correlation "
        f"{verdict.macs_rank_correlation:.3f}"
    )
    if verdict.equal_in_order is not None:
        print(
            f"{verdict.equal_pairs} pairs within {EQUAL_MACS:.0%} of equal MACs: "
            f"{verdict.equal_in_order:.0%} in the measured order"
        )
    if verdict.equal_rank_correlation is not None:
        print(
            f"{verdict.equal_networks} networks of about equal MACs: rank correlation "
            f"{verdict.equal_rank_correlation:.3f}"
        )
    print(spread_in_words(verdict.spread))
    if verdict.equal_spread is not None:
        print(f"of about equal MACs: {spread_in_words(verdict.equal_spread)}")
    if not verdict.holds:
        print("falls short of: median error 10 %, rank correlation .95, half the mean error of the line")


def spread_in_words(spread: TimesSpread) -> str:
    """What there was to be ranked, and how high a rank correlation could be."""
    (fewest, most), (fastest, slowest) = spread.gmacs, spread.ms
    said = (
        f"they lie within {_short(fewest)} to {_short(most)} GMACs, "
        f"{_short(fastest)} to {_short(slowest)} ms "
        f"(deviation {spread.deviation:.1%})"
    )
    if spread.repeats is None or spread.ceiling is None:
        return said
    return (
        f"{said}; measured again they differ by {spread.apart:.1%} and rank as before by "
        f"{spread.repeats:.3f}: no prediction can be expected above {spread.ceiling:.3f}"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"

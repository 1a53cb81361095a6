"""`mdsearch latency check`: predictions of a price list beside networks measured whole."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from conf.compose import compose
from conf.words import as_text
from evaluators.latency.held_out import EQUAL_MACS, ListVerdict, Whole, verdict_of_list
from evaluators.latency.journal import Journal
from evaluators.latency.lists import sampled_networks
from evaluators.latency.quiet import CpuMoment, quietness
from evaluators.latency.runtimes import Place
from evaluators.latency.whole import whole_timing
from mdsearch.progress import shown_progress
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.prices.latency import PriceList
from space.prices.macs import price
from space.shared.cpus import available_cpus
from space.shared.plain import InputError, from_plain, to_plain

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
        for name, least in (("networks", 4), ("equal", 0), ("rounds", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: {least} or more")


def main(words: list[str]) -> int:
    command: CheckCommand = from_plain(CheckCommand, compose("latency_check", as_text(words, CHECK_TEXTS)))
    prices = PriceList.load(command.prices)
    place = Place("cuda" if not prices.threads else "cpu", prices.threads or 1, prices.precision)
    if place.name() != prices.device:
        raise InputError(
            f"prices: {command.prices} is of {prices.device}, and this is {place.name()}; allowed: a list of "
            "this device"
        )
    random, equal = held_out_networks(command)
    for a in (*random, *equal):
        prices.milliseconds(a)  # refuses what the list does not hold before anything is measured
    begin = CpuMoment.now()
    measured = _measured(command, prices, place, [*random, *equal])
    verdict = verdict_of_list(measured[: len(random)], measured[len(random) :])
    quiet = quietness(begin, CpuMoment.now(), available_cpus(), [])
    if command.format == "json":
        plain = {"list": prices.describe(), "holds": verdict.holds, "quiet": quiet.sentence()}
        print(json.dumps(plain | to_plain(verdict) | {"measured": to_plain(measured)}, indent=2))
    else:
        _print(verdict, measured, prices)
        print(quiet.sentence())
    return 0 if verdict.holds else 1


def held_out_networks(command: CheckCommand) -> tuple[list[Architecture], list[Architecture]]:
    """Random ones that fit the budget; and others within 5 % of the MACs that are the middle of those."""

    def fits(a: Architecture) -> bool:
        return not command.budget.excess(a)

    random = sampled_networks(command.space, command.networks, command.seed, "check", fits)
    if len(random) < 4:
        raise InputError("networks: fewer than 4 of this space fit the budget; allowed: a wider budget")
    middle = sorted(price(a).macs for a in random)[len(random) // 2]

    def near(a: Architecture) -> bool:
        return abs(price(a).macs / middle - 1) <= EQUAL_MACS / 2 - 0.001 and fits(a)

    equal = (
        sampled_networks(command.space, command.equal, command.seed, "equal", near) if command.equal else []
    )
    return random, equal


def _measured(
    command: CheckCommand, prices: PriceList, place: Place, networks: Sequence[Architecture]
) -> list[Whole]:
    about = {
        "runtime": prices.runtime,
        "threads": prices.threads,
        "device": prices.device,
        "rounds": command.rounds,
    }
    journal = Journal(Path(command.out or f"{command.prices}.check"), about)
    found = []
    with shown_progress(Console(stderr=True), "networks") as on_done:
        for number, a in enumerate(networks):
            on_done(number, len(networks))
            if a.id not in journal.results:
                timing = whole_timing(
                    a,
                    prices.runtime,
                    place,
                    seconds=0,
                    least=command.rounds,
                    most=command.rounds,
                    clock=time.perf_counter,
                )
                low, high = timing.interval
                journal.add(a.id, median_ms=timing.median, low_ms=low, high_ms=high)
            measured = journal.results[a.id]["median_ms"]
            found.append(Whole(a.id, price(a).gmacs, prices.milliseconds(a), measured))
        on_done(len(networks), len(networks))
    return found


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
    if not verdict.holds:
        print("falls short of: median error 10 %, rank correlation .95, half the mean error of the line")

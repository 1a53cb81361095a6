"""A price list of the whole space from planted times with noise: what it could reach on a quiet machine."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from math import exp
from typing import Any

import pytest

from conf.compose import compose
from evaluators.latency.designs import MOST_ENTRIES, design
from evaluators.latency.held_out import Whole, verdict_of_list
from evaluators.latency.lists import calibrating_networks, sampled_networks
from evaluators.latency.probes import macs
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.prices.calibration import MeasuredNetwork
from space.prices.coverage import parts_of_space
from space.prices.latency import Entry, PriceList
from space.prices.macs import price
from space.prices.parts import TimedPart, parts
from space.shared.plain import from_plain

GMACS_A_SECOND = {"full": 95, "feed-forward": 90, "self-attention": 45, "conv in": 40, "conv out": 40}
BYTES_A_MS = 6e6


def planted_ms(part: TimedPart) -> float:
    """By its MACs, at a rate of its family that is 3 % off at each width, and by the maps that it moves."""
    of_family, of_width = (random.Random(str(one)) for one in (part.family, part))
    rate = GMACS_A_SECOND.get(part.kind, 60) * exp(0.15 * of_family.gauss(0, 1) + 0.03 * of_width.gauss(0, 1))
    inside = 1 + dict(part.options).get("expansion", 0)
    moved = 4 * part.size**2 * (part.inputs + part.outputs) * inside
    return macs(part) / 1e6 / rate + moved / BYTES_A_MS + 0.02


def test_the_papers_own_space_is_measured_exhaustively() -> None:
    space: Space = from_plain(Space, compose("latency_check", ["prices=-", "space=paper"])["space"])
    assert set(design(space)) == set(parts_of_space(space)) and len(design(space)) == 104


@pytest.mark.slow  # some five CPU seconds: all parts of the space, and 36 of its networks
def test_a_list_of_the_space_holds_under_noise() -> None:
    """2 % of each part, 1 % of each network, each 1.5 % off what its parts say; MACs rank by .8."""
    plain = compose("latency_check", ["prices=-"])
    space: Space = from_plain(Space, plain["space"])
    budget: Budget = from_plain(Budget, plain["budget"])
    noise = random.Random(0)

    def whole_ms(a: Architecture) -> float:
        own = random.Random(a.id).gauss(0, 0.015)
        return (5 + 1.03 * sum(map(planted_ms, parts(a)))) * (1 + own) * (1 + noise.gauss(0, 0.01))

    def sampled(count: int, purpose: str) -> list[Architecture]:
        return sampled_networks(space, count, 0, purpose, lambda a: not budget.excess(a))

    entries = tuple(
        Entry.of(part, 9, planted_ms(part) * (1 + noise.gauss(0, 0.02)), 0.0) for part in design(space)
    )
    assert 250 < len(entries) <= MOST_ENTRIES < len(parts_of_space(space))
    fitted = calibrating_networks(space, 6, 0, lambda a: not budget.excess(a))
    measured = tuple(MeasuredNetwork(a.to_plain(), 9, whole_ms(a), 0.0) for a in fitted)
    about: dict[str, Any] = {"device": "made", "runtime": "onnx", "versions": {}, "precision": "fp32"}
    about |= {"threads": 2, "date": "2026-11-29", "space": {}, "entries": entries, "whole": measured}
    prices = PriceList(**about).calibrated()
    rows = []
    for a in sampled(30, "check"):
        first, again = whole_ms(a), whole_ms(a)
        both = (first + again) / 2
        rows.append(Whole(a.id, price(a).gmacs, prices.milliseconds(a), both, first, again))
    verdict = verdict_of_list(rows)
    assert verdict.holds and verdict.rank_correlation > 0.97 > 0.9 > verdict.macs_rank_correlation
    assert verdict.spread.gmacs[1] / verdict.spread.gmacs[0] > 2  # they are no bunch beneath the budget
    assert 0.98 < (verdict.spread.ceiling or 0) <= 1
    networks = sampled(200, "quick")
    assert min(seconds_for(prices, networks) for _ in range(5)) < len(networks) / 10_000


def seconds_for(prices: PriceList, networks: Sequence[Architecture]) -> float:
    """Of this thread's own time, whatever else runs."""
    begin = time.thread_time()
    for a in networks:
        prices.milliseconds(a)
    return time.thread_time() - begin

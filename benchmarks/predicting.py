"""Latencies predicted a second on one core, from a price list whose stages are new and then known.

python -m benchmarks.predicting [networks=20000]
"""

from __future__ import annotations

import time

from benchmarks.lab import given_counts, run_as_command
from benchmarks.pricing import sampled
from space.architecture import Architecture
from space.prices.latency import PriceList
from tests.space.price_lists import made_list

REQUIRED_PER_SECOND = 10_000


def predictions_per_second(prices: PriceList, networks: list[Architecture]) -> float:
    start = time.process_time()  # of this process, so that neighbours on the machine don't enter
    for network in networks:
        prices.milliseconds(network)
    return len(networks) / (time.process_time() - start)


def main(words: list[str]) -> int:
    networks = sampled(given_counts(words, {"networks": 20_000})["networks"])
    prices = made_list(networks)
    first, second = (predictions_per_second(prices, networks) for _ in range(2))
    print(f"{len(networks):,} networks of {len(prices.entries):,} parts, predicted a second on one core:")
    print(f"stages new {first:,.0f}, stages known {second:,.0f}; required {REQUIRED_PER_SECOND:,}")
    return 0 if min(first, second) >= REQUIRED_PER_SECOND else 1


if __name__ == "__main__":
    run_as_command(main, __doc__)

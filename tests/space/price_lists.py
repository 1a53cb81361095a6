"""Price lists of made times, for tests of what goes by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from space.architecture import Architecture
from space.prices.latency import Entry, PriceList
from space.prices.parts import TimedPart, counted_parts


def by_widths(part: TimedPart) -> float:
    """ms that grow with the product of a part's widths and its pixels."""
    return 0.5 + part.inputs * part.outputs * part.size**2 / 1e7


def made_list(
    networks: Iterable[Architecture], ms: Callable[[TimedPart], float] = by_widths, **fields: Any
) -> PriceList:
    """One entry for every part of some networks."""
    return list_of(counted_parts(networks), ms, **fields)


def list_of(
    parts: Iterable[TimedPart], ms: Callable[[TimedPart], float] = by_widths, **fields: Any
) -> PriceList:
    entries = tuple(Entry.of(part, 5, ms(part), 0.1) for part in parts)
    stated: dict[str, Any] = {
        "device": "made",
        "runtime": "onnx",
        "versions": {"onnxruntime": "1.0"},
        "precision": "fp32",
        "threads": 1,
        "date": "2026-01-02",
        "space": {},
        "entries": entries,
    }
    return PriceList(**stated | fields)

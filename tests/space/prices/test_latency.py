"""The price of a network in milliseconds: sums, widths in between, refusals, and how many a second."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from space.architecture import Architecture, Level
from space.prices.interpolation import MeasuredWidths, TimesByWidth
from space.prices.latency import PriceList
from space.prices.parts import TimedPart, parts
from space.shared.plain import InputError
from tests.space.price_lists import by_widths, made_list


def network(inner: int = 64, **fields: Any) -> Architecture:
    """Two levels: a full block each way and two, then a stack of two layers each way and one."""
    outer = Level(32, "full", (0,), (0, 0))
    deep = Level(inner, "separable", (2,), (1, 0), self_attention=True, cross_attention=True)
    return Architecture((outer, deep), norm_groups=16, head_width=16, latent_size=8, **fields)


def test_parts_by_hand() -> None:
    found = [(part.kind, part.size, part.inputs, part.outputs) for part in parts(network())]
    layer = [("self-attention", 4, 64, 64), ("cross-attention", 4, 64, 64), ("feed-forward", 4, 64, 64)]
    assert found == [
        ("time embedding", 1, 32, 1280),
        ("conv in", 8, 8, 32),
        ("full", 8, 32, 32),
        ("downsample", 8, 32, 32),
        ("separable", 4, 32, 64),
        ("stack", 4, 64, 64),
        *layer,
        *layer,
        ("separable", 4, 128, 64),
        ("stack", 4, 64, 64),
        *layer,
        ("separable", 4, 96, 64),
        ("upsample", 4, 64, 64),
        ("full", 8, 96, 32),
        ("full", 8, 64, 32),
        ("conv out", 8, 32, 8),
    ]
    joined = [
        dict(part.options).get("joined") for part in parts(network()) if part.kind in ("full", "separable")
    ]
    assert joined == [False, False, True, True, True, True]


def test_the_sum_by_hand() -> None:
    """Overhead, and a factor on the sum over all parts, once for each time that a part runs."""
    times = {"full": 10.0, "separable": 5.0, "self-attention": 3.0, "stack": 0.5}
    prices = made_list([network()], lambda part: times.get(part.kind, 0.0), overhead_ms=2.0, factor=2.0)
    assert prices.milliseconds(network()) == 2 + 2 * (3 * 10 + 3 * 5 + 3 * 3 + 2 * 0.5)


def test_between_widths_and_never_beyond() -> None:
    prices = made_list([network(48), network(64), network(96), network(128)])
    between = network(80)
    exact = sum(by_widths(part) for part in parts(between))
    assert prices.milliseconds(between) == pytest.approx(exact, rel=1e-3)
    assert max(max(errors) for errors in prices.interpolation_errors().values()) < 1e-3
    with pytest.raises(
        InputError, match=r"'separable' at 4x4 .*144 channels out are outside of the 48 to 128"
    ):
        prices.milliseconds(network(144))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"latent_size": 16}, r"'conv in' at 16x16.*other sizes; allowed: 8x8"),
        ({"activation": "gelu"}, r"'feed-forward' at 4x4.*activation=gelu"),
        ({"attention": "relu"}, r"'self-attention' at 4x4.*attention=relu"),
        ({"stack_projection": "conv"}, r"'project in' at 4x4.*holds no 'project in'"),
        ({"time_width": 640}, r"'time embedding'.*640 channels out are not the 1280"),
    ],
)
def test_what_the_list_does_not_hold_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    prices = made_list([network()])
    with pytest.raises(InputError, match=named):
        prices.milliseconds(replace(network(), **change))


def test_a_stage_is_priced_once() -> None:
    """Ten thousand a second: a network that came by costs a look-up for each of its stages."""
    asked: list[TimedPart] = []

    class Counting(PriceList):
        def part_ms(self, part: TimedPart) -> float:
            asked.append(part)
            return super().part_ms(part)

    made = made_list([network()])
    prices = Counting(**{name: getattr(made, name) for name in PriceList.__dataclass_fields__})
    first = prices.milliseconds(network())
    once = len(asked)
    assert once < len(parts(network()))  # the layers and stacks that repeat
    assert [prices.milliseconds(network()) for _ in range(50)] == [first] * 50
    assert len(asked) == once


def test_written_and_read(tmp_path: Path) -> None:
    prices = made_list([network()], overhead_ms=1.5, factor=0.9, calibrated_on=3)
    read = PriceList.load(prices.write(tmp_path / "list.json"))
    assert read == prices
    assert read.source == str(tmp_path / "list.json")
    assert read.milliseconds(network()) == prices.milliseconds(network())
    assert len((tmp_path / "list.json").read_text().splitlines()) == len(prices.entries) + 18


def broken(plain: dict[str, Any], **change: Any) -> str:
    return json.dumps(plain | change)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "cannot be read as a price list"),
        ("[]", "is no price list"),
        ("{}", "is no price list"),
        ({"entries": []}, "entries: empty"),
        ({"form": 9}, "form: 9 is not known"),
        ({"threads": -1}, "threads: -1"),
        ({"overhead_ms": -2}, "overhead_ms: -2"),
        ({"factor": 0}, "factor: 0"),
        ({"surplus": 1}, "surplus: no such field"),
        ({"mean_ms": float("nan")}, r"entries\[0\].mean_ms: nan is no time"),
        ({"mean_ms": -1}, r"entries\[0\].mean_ms: -1.0 is no time"),
        ({"mean_ms": "fast"}, r"entries\[0\].mean_ms: expected a number"),
        ({"count": 0}, r"entries\[0\].count: 0"),
        ("twice", "'time embedding' at 1x1, 32 -> 1280 channels stands twice"),
    ],
)
def test_a_file_that_is_no_list_is_refused(text: Any, named: str, tmp_path: Path) -> None:
    plain = made_list([network()]).to_plain()
    if text == "twice":
        text = broken(plain, entries=[*plain["entries"], plain["entries"][0]])
    elif isinstance(text, dict):
        of_entry = {key: value for key, value in text.items() if key in plain["entries"][0]}
        entries = [plain["entries"][0] | of_entry, *plain["entries"][1:]]
        of_list = {key: value for key, value in text.items() if key not in of_entry}
        text = broken(plain, **{"entries": entries} | of_list)
    file = tmp_path / "list.json"
    file.write_text(text)
    with pytest.raises(InputError, match=named):
        PriceList.load(file)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a price list"):
        PriceList.load(tmp_path / "none.json")


def test_interpolation_finds_the_products_of_widths() -> None:
    widths = [(i, o) for i in (320, 640, 1280) for o in (320, 480, 640)]
    rows = [MeasuredWidths(i, o, 1 + 3e-6 * i * o + 2e-6 * o * o) for i, o in widths]
    fit = TimesByWidth.of(rows)
    assert fit(960, 512) == pytest.approx(1 + 3e-6 * 960 * 512 + 2e-6 * 512**2)
    assert max(TimesByWidth.held_out(rows)) < 1e-6


def test_a_width_that_drowns_in_noise_does_not_pull_the_others_to_nothing() -> None:
    """A difference of chains that came out below zero counts as 0 ms."""
    rows = [MeasuredWidths(w, w, 2e-6 * w * w, 0.05) for w in (320, 640, 960, 1280)]
    assert TimesByWidth.of(rows)(800, 800) == pytest.approx(1.28, rel=0.01)
    noisy = [MeasuredWidths(320, 320, 0.0, 0.3), *rows[1:]]
    assert TimesByWidth.of(noisy)(800, 800) == pytest.approx(1.28, rel=0.2)
    network_list = made_list([network(48), network(64), network(96)])
    entries = [
        replace(entry, mean_ms=0.0, spread_ms=0.4) if (entry.kind, entry.inputs) == ("stack", 48) else entry
        for entry in network_list.entries
    ]
    drowned = replace(network_list, entries=tuple(entries))
    part = next(part for part in parts(network(80)) if part.kind == "stack")
    assert drowned.part_ms(part) == pytest.approx(by_widths(part), rel=0.4) and drowned.part_ms(part) > 0.3

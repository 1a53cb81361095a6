"""Milliseconds as a bound like the others: by one price list or several, refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdsearch.commands import count, explore
from space.budget import Budget, bounds_in_words, smallest_of
from space.choices import LevelRanges, Space
from space.prices.coverage import check_covers
from space.shared.plain import InputError, from_plain
from tests.space.price_lists import by_widths, made_list

SPACE = Space(
    {"level_1": LevelRanges((32, 64), layers_down=(0, 1), cross_attention=(True,))},
    base={"latent_size": 4, "norm_groups": 8, "head_width": 16, "time_width": 32},
)
SMALL, LARGE = (SPACE.architecture({name: values[at] for name, values in SPACE.choices()}) for at in (0, -1))
MIDDLE = SPACE.architecture(
    {name: values[0] if name.endswith("layers_down") else values[-1] for name, values in SPACE.choices()}
)
NETWORKS = SMALL, MIDDLE, LARGE, replace(LARGE, levels=(replace(LARGE.levels[0], channels=32),))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Of a device, and of one that takes twice as long."""
    fast, slow = tmp_path / "fast.json", tmp_path / "slow.json"
    made_list(NETWORKS, device="fast").write(fast)
    made_list(NETWORKS, lambda part: 2 * by_widths(part), device="slow").write(slow)
    return str(fast), str(slow)


def test_one_list_bounds_like_any_price(files: tuple[str, str]) -> None:
    fast, _ = files
    ms = made_list(NETWORKS).milliseconds
    budget = Budget(latency_ms=ms(MIDDLE), prices=fast)
    assert budget.amounts(LARGE) == {"latency_ms": ms(LARGE)}
    assert budget.excess(MIDDLE) == budget.excess(SMALL) == []
    assert budget.excess(LARGE) == [
        f"{ms(LARGE):.1f} ms > {ms(MIDDLE):g} (onnx in fp32 on fast, 1 thread, 2026-01-02)"
    ]
    assert smallest_of(SPACE, budget, "latency_ms") == SMALL
    assert budget.alone("latency_ms") == budget


def test_several_lists(files: tuple[str, str]) -> None:
    """One bound holds for the slowest; a bound for each for its own."""
    ms = made_list(NETWORKS).milliseconds
    worst = Budget(latency_ms=1.5 * ms(LARGE), prices=files)
    assert worst.latencies(LARGE) == (ms(LARGE), pytest.approx(2 * ms(LARGE)))
    assert worst.amounts(LARGE)["latency_ms"] == pytest.approx(2 * ms(LARGE))
    (clause,) = worst.excess(LARGE)
    assert "on slow" in clause
    each = Budget(latency_ms=(ms(MIDDLE), 3 * ms(LARGE)), prices=files)
    (clause,) = each.excess(LARGE)
    assert "on fast" in clause and each.excess(MIDDLE) == []
    assert (
        each.amounts(MIDDLE)["latency_ms"] <= each.bounds()["latency_ms"] < each.amounts(LARGE)["latency_ms"]
    )


def test_as_records_hold_it(files: tuple[str, str]) -> None:
    budget = Budget(400, latency_ms=(150.0, 300.0), prices=files)
    plain = budget.to_plain()
    assert plain == {
        "parameters_millions": 400,
        "gmacs": None,
        "latency_ms": [150.0, 300.0],
        "prices": list(files),
    }
    assert from_plain(Budget, plain) == budget
    assert budget.words() == bounds_in_words(plain) == ["400 M parameters", "150 and 300 ms"]
    assert Budget(400).to_plain() == {"parameters_millions": 400, "gmacs": None}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"latency_ms": -3, "prices": "a.json"}, "latency_ms: -3.0 is no budget; allowed: more than 0"),
        ({"latency_ms": 0, "prices": "a.json"}, "latency_ms: 0.0 is no budget"),
        ({"latency_ms": float("nan"), "prices": "a.json"}, "latency_ms: nan is no budget"),
        (
            {"latency_ms": "fast", "prices": "a.json"},
            "latency_ms: expected a list or a number or null, got 'fast'",
        ),
        ({"latency_ms": 3}, "latency_ms: needs a price list"),
        ({"latency_ms": [3, 4], "prices": "a.json"}, "latency_ms: 2 bounds for 1 price lists"),
        ({"latency_ms": 3, "prices": []}, r"prices: \[\]; allowed: one file or more"),
        ({"latency_ms": 3, "prices": ["a.json", "a.json"]}, "each once"),
    ],
)
def test_a_bound_that_is_none_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        from_plain(Budget, fields, "budget")


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"prices: .*none.json: cannot be read as a price list"):
        Budget(latency_ms=3, prices=str(tmp_path / "none.json")).excess(SMALL)


def test_a_list_of_another_space() -> None:
    check_covers(made_list(NETWORKS), SPACE)
    with pytest.raises(InputError, match=r"64 channels.*measured for another space"):
        check_covers(made_list([SMALL]), SPACE)
    other = Space(SPACE.levels, base=dict(SPACE.base) | {"latent_size": 8})
    with pytest.raises(InputError, match=r"8x8.*allowed: 4x4; it was measured for another space"):
        check_covers(made_list(NETWORKS), other)


def test_count_says_what_is_over(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "large.yaml").write_text(LARGE.to_yaml())
    words = [f"arch_file={tmp_path / 'large.yaml'}", "budget.latency_ms=1", f"budget.prices={files[0]}"]
    assert count.main(words) == 0
    text, ms = capsys.readouterr().out, made_list(NETWORKS, device="fast").milliseconds(LARGE)
    assert "ms > 1 (onnx in fp32 on fast" in text and f"latency {ms:.1f} ms: onnx in fp32 on fast" in text
    assert "another device than this" in text
    assert count.main([words[0], f"budget.prices=[{files[0]},{files[1]}]", "format=json"]) == 0
    assert [one["ms"] for one in json.loads(capsys.readouterr().out)["latencies"]] == [
        ms,
        pytest.approx(2 * ms),
    ]
    (tmp_path / "large.yaml").write_text(replace(LARGE, latent_size=8).to_yaml())
    with pytest.raises(
        InputError, match=r"'conv in' at 8x8.*fast\.json holds that kind at other sizes; allowed: 4x4"
    ):
        count.main(words)


def test_a_map_adds_up_no_latency(files: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=r"budget.latency_ms: a map adds up the prices of stages"):
        explore.main(["budget.latency_ms=1", f"budget.prices={files[0]}"])

"""What the paper's decisions save: pairs of networks that differ in one of them, timed in turns."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import pytest

from benchmarks import what_pays
from benchmarks.what_pays import Decision, decisions, difference_of, saved_by
from evaluators.latency import runtimes
from evaluators.latency.runtimes import Place
from evaluators.latency.timing import Timing
from search.named import named_architecture
from space.architecture import Architecture
from space.prices.macs import price


def changed(one: Architecture, other: Architecture) -> dict[str, tuple[Any, Any]]:
    """Fields that differ; of levels those of the one that differs, by its number."""
    found = {
        each.name: (getattr(one, each.name), getattr(other, each.name))
        for each in fields(Architecture)
        if getattr(one, each.name) != getattr(other, each.name)
    }
    for number, pair in enumerate(zip(*found.pop("levels", ((), ())), strict=True), 1):
        for name in type(pair[0]).__dataclass_fields__ if pair[0] != pair[1] else ():
            if getattr(pair[0], name) != getattr(pair[1], name):
                found[f"level {number}: {name}"] = getattr(pair[0], name), getattr(pair[1], name)
    return found


def test_each_pair_differs_in_one_of_the_papers_decisions_and_ends_or_begins_with_md() -> None:
    md = named_architecture("md")
    pairs = decisions(md)
    assert [changed(each.before, each.after) for each in pairs] == [
        {"attention": ("softmax", "relu")},
        {"activation": ("gelu", "swish")},
        {"shared_key_value": (False, True)},
        {"level 3: conv": ("full", "separable")},
        {"level 2: self_attention": (True, False)},
    ]
    assert pairs[0].before == md and all(each.after == md for each in pairs[1:])
    assert md.latent_size >> 1 == 32  # where the second level is
    for each in pairs[2:]:
        saved = 1 - price(each.after).macs / price(each.before).macs
        assert each.macs_saved == pytest.approx(saved) and saved > 0


def microseconds(a: Architecture) -> float:
    return price(a).macs / 1e3


@pytest.fixture
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime whose milliseconds are thousands of MACs, and one more in each round than in the last."""

    def made(module: Any, *_: Any) -> Any:
        return lambda number: microseconds(module.unet.architecture) + number

    for name in ("eager", "onnx"):
        monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), name, made)


@pytest.mark.usefixtures("_made")
def test_what_is_saved_is_the_difference_of_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    narrow = what_pays.narrowed(named_architecture("md"), 16)
    one = decisions(narrow)[3]
    found = saved_by(one, "eager", Place(), 3)
    saved = microseconds(one.before) - microseconds(one.after)
    assert saved > 0 and (found.saved, found.low, found.high) == (pytest.approx(saved),) * 3
    assert found.share == pytest.approx(saved / found.before)
    assert what_pays.main(["narrower=16", "rounds=2", "threads=1", "runtimes=eager,onnx"]) == 0
    head, _, *rows = (line for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in head.split("|")[3:-1]] == ["eager: ms saved", "onnx: ms saved"]
    assert [row.split("|")[1].strip() for row in rows] == [each.name for each in decisions(narrow)]
    assert f"{one.macs_saved:+.1%} | {saved:+.0f} of " in rows[3]


def test_a_decision_that_costs_time_is_told_as_such() -> None:
    found = difference_of(Timing((10.0, 11.0, 12.0)), Timing((13.0, 13.0, 13.0)))
    assert (found.saved, found.low, found.high, found.share) == (-2, -3, -1, pytest.approx(-2 / 11))
    same = named_architecture("md")
    assert Decision("none", same, same).macs_saved == 0

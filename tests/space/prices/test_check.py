"""A second opinion on the price: agreed with, contradicted, and not to be had."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from space.architecture import Architecture, Level
from space.prices import check
from space.prices.check import second_opinions
from space.prices.counters import OperatorCount, UnknownOperator, fvcore_count, meta_count
from space.prices.macs import price
from space.shared.second_opinion import SecondOpinion, disagreements

NARROW = Architecture(
    (Level(32, "full", (0,), (0, 0)), Level(64, "separable", (1,), (1, 1), self_attention=True)),
    latent_size=8,
)
SDXL = Architecture.load(Path(__file__).parents[3] / "conf" / "arch" / "sdxl.yaml")


def test_both_counters_agree_with_the_closed_form() -> None:
    asked: list[str] = []
    opinions = second_opinions(NARROW, asked.append)
    assert asked == ["PyTorch", "fvcore"]
    cost = price(NARROW)
    figures = (
        ("parameters", cost.parameters),
        ("MACs", cost.macs),
        ("attention products", cost.attention_macs),
    )
    assert [(found.what, found.by, found.ours, found.theirs) for found in opinions] == [
        (what, by, figure, figure) for what, figure in figures for by in ("PyTorch", "fvcore")
    ]
    assert disagreements(opinions) == []


def test_one_mac_more_is_a_disagreement() -> None:
    def one_more(a: Architecture) -> OperatorCount:
        counted = meta_count(a)
        return counted._replace(macs=counted.macs + 1)

    opinions = second_opinions(NARROW, counters={"PyTorch": meta_count, "other": one_more})
    assert [(found.what, found.by, found.difference) for found in disagreements(opinions)] == [
        ("MACs", "other", 1)
    ]


def test_a_price_that_is_wrong_is_contradicted_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "price", lambda a: price(a)._replace(attention_macs=0))
    wrong = disagreements(second_opinions(NARROW))
    assert [(found.what, found.by) for found in wrong] == [
        ("attention products", "PyTorch"),
        ("attention products", "fvcore"),
    ]


def test_a_counter_that_cannot_count_disagrees_and_says_why() -> None:
    def stuck(a: Architecture) -> OperatorCount:
        raise UnknownOperator("aten::cdist: no formula counts it")

    opinions = second_opinions(NARROW, counters={"other": stuck})
    assert [(found.theirs, found.agrees, found.note) for found in opinions] == [
        (None, False, "aten::cdist: no formula counts it")
    ] * 3
    assert opinions[0].to_plain()["difference"] is None


@pytest.mark.parametrize("theirs", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_disagrees_and_is_null_in_json(theirs: float) -> None:
    opinion = SecondOpinion("fid", "other", 1.0, theirs, allowed=0.1)
    assert opinion.agrees is False
    assert opinion.to_plain() | {"ours": None} == {
        "what": "fid", "by": "other", "ours": None, "theirs": None, "difference": None,
        "allowed": 0.1, "agrees": False, "note": "",
    }  # fmt: skip


def test_what_is_only_shown_neither_agrees_nor_disagrees() -> None:
    assert SecondOpinion("fid", "other", 1.0, 9.0, allowed=None).agrees is None
    assert disagreements([SecondOpinion("fid", "other", 1.0, None, allowed=None)]) == []


@pytest.mark.slow
def test_fvcore_counts_the_largest_network_in_bounded_memory() -> None:
    """Its 2.57 billion weights would be 10.3 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert fvcore_count(SDXL)[:3] == price(SDXL)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20  # KiB

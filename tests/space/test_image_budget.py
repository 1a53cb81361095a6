"""One bound for text encoder, UNet and decoder: by hand, and as a property of any architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdsearch.commands import explore
from space.architecture import Architecture
from space.budget import Budget, bounds_in_words, smallest_of
from space.image_budget import IMAGE_FIELDS
from space.image_time import ImageTime, OtherSide, TimedNetwork, enough_text
from space.paths import SpacePaths
from space.prices.latency import PriceList
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain, to_plain
from tests.space.price_lists import made_list
from tests.space.strategies import architectures
from tests.space.test_latency_budget import LARGE, MIDDLE, NETWORKS, SMALL, SPACE

DECODERS = OtherSide("runs/decoder", (TimedNetwork("trial 1", 40.0), TimedNetwork("trial 2", 25.0)))


@pytest.fixture
def prices(tmp_path: Path) -> PriceList:
    """Of times that binary numbers hold exactly."""
    return PriceList.load(
        made_list(NETWORKS, lambda part: 2 + part.outputs / 32).write(tmp_path / "list.json")
    )


def test_a_network_is_over_by_what_the_whole_image_is(prices: PriceList) -> None:
    small, large = prices.milliseconds(SMALL), prices.milliseconds(LARGE)
    total = 5 + 3 * small + 25
    budget = Budget(
        total_ms=total,
        steps=3,
        text_ms=5.0,
        decoder="runs/decoder",
        other_side=DECODERS,
        prices=prices.source,
    )
    assert budget.amounts(LARGE) == {"total_ms": 5 + 3 * large + 25}
    assert budget.excess(SMALL) == [] and smallest_of(SPACE, budget, "total_ms") == SMALL
    assert budget.excess(LARGE) == [
        f"{5 + 3 * large + 25:.1f} ms an image > {total:g} by {3 * (large - small):.1f}: text encoder 5 + "
        f"UNet 3 x {large:.1f} + the fastest decoder 25.0 ({prices.describe()})"
    ]
    assert budget.evaluation_bound == small
    assert budget.alone("total_ms") == budget and budget.alone("gmacs") == Budget()
    assert Budget(400, **of_image(prices)).alone("total_ms") == Budget(**of_image(prices))


def of_image(prices: PriceList, **fields: Any) -> dict[str, Any]:
    return {"total_ms": 400.0, "decoder": 40.0, "prices": (prices.source,)} | fields


def test_guidance_evaluates_twice_where_it_is_said(prices: PriceList) -> None:
    ms = prices.milliseconds(SMALL)
    once, twice = (Budget(**of_image(prices, calls_per_step=calls)) for calls in (1, 2))
    assert once.amounts(SMALL)["total_ms"] == 8 * ms + 40 and twice.amounts(SMALL)["total_ms"] == 16 * ms + 40
    assert once.words() == ["400 ms an image of 8 steps"]
    assert twice.words() == ["400 ms an image of 8 steps of 2 calls"]
    assert (once.evaluation_bound, twice.evaluation_bound) == (45, 22.5)
    assert ImageTime(400, 1).words() == "1 step"


def test_from_the_decoders_side_the_unet_counts_for_every_step(prices: PriceList) -> None:
    """What is searched is priced once, what the field names so many times."""
    ms = prices.milliseconds(LARGE)
    budget = Budget(total_ms=8 * 10 + ms, unet=10.0, prices=prices.source)
    assert budget.amounts(LARGE) == {"total_ms": 80 + ms} and budget.excess(LARGE) == []
    assert budget.evaluation_bound == ms
    (clause,) = Budget(total_ms=79 + ms, unet=10.0, prices=prices.source).excess(LARGE)
    assert f"by 1: text encoder 0 + UNet 8 x 10.0 + decoder {ms:.1f}" in clause


def test_both_bounds_hold(prices: PriceList) -> None:
    small, middle = prices.milliseconds(SMALL), prices.milliseconds(MIDDLE)
    wide = of_image(prices, steps=1, total_ms=40 + middle)
    assert Budget(**wide).excess(MIDDLE) == []
    narrow = Budget(**wide, latency_ms=small)
    assert narrow.excess(SMALL) == [] and len(narrow.excess(MIDDLE)) == 1
    assert narrow.evaluation_bound == small and len(narrow.excess(LARGE)) == 2


@settings(deadline=None, max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    architectures(most_levels=2),
    st.integers(1, 50),
    st.integers(1, 2),
    st.floats(0, 50),
    st.lists(st.floats(0, 500), min_size=1, max_size=3),
    st.floats(0.5, 2),
)
def test_refused_exactly_where_no_decoder_is_left(
    tmp_path: Path, a: Architecture, steps: int, calls: int, text: float, decoders: list[float], share: float
) -> None:
    prices = PriceList.load(made_list([a]).write(tmp_path / "list.json"))
    spent = text + steps * calls * prices.milliseconds(a) + min(decoders)
    read = OtherSide("runs/d", tuple(TimedNetwork(str(n), ms) for n, ms in enumerate(decoders)))
    for total in (share * spent, spent):
        within = {"total_ms": total, "steps": steps, "calls_per_step": calls, "text_ms": text}
        budget = Budget(**within, decoder="runs/d", other_side=read, prices=prices.source)  # type: ignore[arg-type]
        assert bool(budget.excess(a)) == (spent > total)
    assert float(enough_text(spent)) >= spent


def test_as_records_hold_it(prices: PriceList) -> None:
    fields = of_image(
        prices, decoder="runs/decoder", decoder_prices="d.json", text_ms=1.5, other_side=DECODERS
    )
    plain = Budget(**fields).to_plain()
    assert plain["total_ms"] == 400 and plain["steps"] == 8 and plain["calls_per_step"] == 1
    assert plain["other_side"]["networks"][1] == {
        "name": "trial 2",
        "ms": 25.0,
        "architecture": None,
        "scores": {},
    }
    assert from_plain(Budget, plain) == Budget(**fields)
    assert bounds_in_words(plain) == ["400 ms an image of 8 steps"]


def test_without_one_nothing_is_stored_that_was_not(prices: PriceList) -> None:
    """Digests of shared trainings are of what is stored."""
    assert not {"total_ms", *IMAGE_FIELDS} & (to_plain(Budget(400)).keys() | Budget(400).to_plain().keys())
    assert SpacePaths(SPACE, Budget(gmacs=1.0)).identity(Proxy()) == {"space": "9bb012c34de3"}


def test_a_shared_training_goes_on_wherever_its_milliseconds_were_read(prices: PriceList) -> None:
    def identity(**fields: Any) -> object:
        return SpacePaths(SPACE, Budget(**of_image(prices, **fields))).identity(Proxy())

    read = {"decoder": "runs/decoder", "other_side": DECODERS}
    assert identity(decoder=25.0) == identity(**read) != identity(decoder=26.0)
    assert identity(**read, steps=4) != identity(**read)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"total_ms": -3}, "total_ms: -3.0 is no budget; allowed: more than 0"),
        ({"steps": 0}, "steps: 0 is too few; allowed: 1 or more"),
        ({"calls_per_step": 0}, "calls_per_step: 0 is too few"),
        ({"text_ms": -1}, "text_ms: -1 is no time; allowed: 0 or more"),
        ({"text_ms": float("inf")}, "text_ms: inf is no time"),
        ({"decoder": float("nan")}, "decoder: nan is no time; allowed: 0 or more milliseconds"),
        ({"decoder": -4}, "decoder: -4 is no time"),
        ({"decoder": None}, "total_ms: needs what else an image takes, and none is named; allowed: decoder="),
        ({"unet": 3}, "needs what else an image takes, not both"),
        ({"prices": None}, r"total_ms: needs one price list, prices=<file>, .*; 0 named"),
        ({"prices": ["a.json", "b.json"]}, "of the device where all of it runs; 2 named"),
        ({"decoder_prices": "d.json"}, "decoder_prices: has no effect, since decoder=40 is milliseconds"),
        ({"unet_prices": "u.json"}, "unet_prices: has no effect, since unet is not given"),
        ({"total_ms": None}, "decoder: has no effect without total_ms"),
        ({"total_ms": None, "decoder": None, "steps": 4}, "steps: has no effect without total_ms"),
    ],
)
def test_what_bounds_no_image_is_refused(fields: dict[str, Any], named: str) -> None:
    plain = {"total_ms": 400, "decoder": 40, "prices": "a.json"} | fields
    with pytest.raises(InputError, match=rf"^budget\.{named}|^budget\..*{named}"):
        from_plain(Budget, plain, "budget")


def test_what_nobody_has_read_bounds_nothing(prices: PriceList) -> None:
    """A command that is no search neither reads a run folder nor passes over it."""
    with pytest.raises(
        InputError, match=r"budget\.decoder: runs/d is read by searches alone; allowed here: millisec"
    ):
        Budget(**of_image(prices, decoder="runs/d")).excess(SMALL)
    with pytest.raises(InputError, match=r"budget.total_ms: a map adds up the prices of stages"):
        explore.main(["budget.total_ms=400", "budget.decoder=40", f"budget.prices={prices.source}"])

"""What a stage is worth for what it costs, by hand, and which go or are copied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.objectives import FID_AND_CLIP, VALIDATION_LOSS
from search.strategies.actions import Limit, Valued, fewest_actions, next_actions, valued
from search.strategies.evolve import EvolveSettings, limit_of
from space.architecture import Architecture
from space.budget import Budget
from space.levels import Level
from space.prices.macs import price
from space.subnet import Subnet
from tests.space.price_lists import made_list

FID, CLIP = FID_AND_CLIP
LAYERS = Architecture((Level(64, "full", (2,), (2, 0), cross_attention=True),), latent_size=8)
NETWORK = Subnet.of(LAYERS)
A, B, C, D = NETWORK.stages  # two layers down, two up, all of one price
LAYER = price(LAYERS).gmacs - price(NETWORK.without(A).architecture).gmacs


def limit(removals: float) -> Limit:
    """What the network costs after so many of its layers have gone."""
    most = price(LAYERS).gmacs - removals * LAYER
    return Limit(lambda a: price(a).gmacs, most * (1 + 1e-9), lambda a: True)


def rows(*values: float | None) -> list[Valued]:
    return [Valued(stage, 0.0, 0.0, value) for stage, value in zip(NETWORK.stages, values, strict=True)]


def test_values_by_hand() -> None:
    """What the CLIP score loses for each GMAC saved; of a loss, by how much it grows, as a share."""
    clip = [{CLIP.name: score} for score in (0.5, 0.4, 0.5, 0.55)] + [{}]
    found = valued(NETWORK, clip, CLIP, limit(0))
    assert [row.stage for row in found] == [A, B, C, D]
    assert [row.value for row in found] == [
        pytest.approx(0.1 / LAYER),
        0.0,
        pytest.approx(-0.05 / LAYER),
        None,
    ]
    assert found[0].cost == price(NETWORK.without(A).architecture).gmacs and found[3].score is None
    loss = EvolveSettings(rank_by="validation_loss").objective(FID_AND_CLIP)
    assert EvolveSettings().objective(FID_AND_CLIP) == CLIP
    grown = valued(NETWORK, [{VALIDATION_LOSS: x} for x in (0.1, 0.2, 0.1, 0.1, 0.1)], loss, limit(0))
    assert grown[0].value == pytest.approx(0.6931472 / LAYER)
    free = Limit(lambda a: 1.0, 0.5, lambda a: True)  # the network costs no less without them
    assert [row.value for row in valued(NETWORK, [clip[0]] * 5, CLIP, free)] == [None] * 4


def test_by_a_list_values_are_per_millisecond_and_what_it_does_not_hold_has_none() -> None:
    prices = made_list([LAYERS])
    ms = Limit(prices.milliseconds, 1.0, lambda a: True)
    (first, *_) = valued(NETWORK, [{CLIP.name: 0.5}, *[{CLIP.name: 0.3}] * 4], CLIP, ms)
    saved = prices.milliseconds(LAYERS) - prices.milliseconds(NETWORK.without(A).architecture)
    assert saved > 0 and first.value == pytest.approx(0.2 / saved)
    other = made_list([replace(LAYERS, activation="gelu")])
    unknown = Limit(other.milliseconds, 1.0, lambda a: True)
    assert unknown.over(NETWORK) and unknown.cost(NETWORK) is None
    found = valued(NETWORK, [{CLIP.name: 0.5}, *[{CLIP.name: 0.3}] * 4], CLIP, unknown)
    assert [row.value for row in found] == [None] * 4


@pytest.mark.parametrize(
    ("values", "removals", "most", "actions"),
    [
        ((0.3, -0.1, 0.2, 0.1), 1, 3, [f"remove {B}"]),  # over: the least loss first, until it is within
        ((0.3, -0.1, 0.2, 0.1), 2, 3, [f"remove {B}", f"remove {D}"]),
        ((0.3, -0.1, 0.2, 0.1), 4, 3, [f"remove {B}", f"remove {D}", f"remove {C}"]),
        ((None, 0.2, None, 0.1), 3, 9, [f"remove {D}", f"remove {B}"]),
        ((0.3, -0.1, 0.2, 0.1), -1, 3, [f"copy {A}"]),  # within: the best is copied, where it fits
        ((0.3, -0.1, 0.2, 0.1), -9, 2, [f"copy {A}", f"copy {C}"]),
        ((0.0, -0.1, None, 0.0), -9, 3, []),  # what is worth nothing is not copied
        ((0.3, -0.1, 0.2, 0.1), 0, 3, []),  # none fits
    ],
)
def test_over_the_least_go_and_within_the_best_are_copied(
    values: tuple[float | None, ...], removals: float, most: int, actions: list[str]
) -> None:
    assert next_actions(NETWORK, rows(*values), limit(removals), most) == actions


def test_another_bound_is_kept_too() -> None:
    most = price(LAYERS).parameters - 1
    bounded = Limit(lambda a: 1.0, 2.0, lambda a: price(a).parameters <= most)
    assert next_actions(NETWORK, rows(3, 1, 2, 4), bounded, 9) == [f"remove {B}"]


@pytest.mark.parametrize(("removals", "fewest"), [(-1, 0), (0, 0), (1, 1), (2.5, 3), (4, 4), (4.5, None)])
def test_as_many_removals_as_a_bound_takes(removals: float, fewest: int | None) -> None:
    bound = limit(removals)
    assert fewest_actions(NETWORK, bound.cost_of, bound.at_most) == fewest


def test_a_network_that_no_list_holds_is_over_also_where_macs_are_the_cost(tmp_path: Path) -> None:
    """It could be trained and not be scored."""
    made_list([LAYERS]).write(tmp_path / "list.json")
    other = Subnet.of(replace(LAYERS, activation="gelu"))
    by_macs = EvolveSettings(cost="gmacs")
    assert not limit_of(by_macs, Budget(gmacs=1e6)).over(other)
    listed = limit_of(by_macs, Budget(gmacs=1e6, prices=str(tmp_path / "list.json")))
    assert listed.over(other) and not listed.over(NETWORK)


def test_removals_that_save_nothing_apart_are_one_at_least() -> None:
    """A peak that goes with the last of them, for example."""
    bare = NETWORK.without(*NETWORK.stages).architecture.id
    assert fewest_actions(NETWORK, lambda a: 1.0 if a.id == bare else 2.0, 1.5) == 1

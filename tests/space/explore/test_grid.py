"""The map of a space: every count against listing a small space, every price against `price`."""

from __future__ import annotations

import random
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space.architecture import Architecture
from space.budget import Budget
from space.choices import LevelRanges, Space, UniformSuggestions
from space.difference import difference
from space.explore.counting import SpaceCount, count, count_within
from space.explore.fronts import MEANS, SIGNS, edge, undominated
from space.explore.grid import ACTS_ON, Grid
from space.explore.survey import fits_budget, interval, neighbours, survey
from space.prices.macs import Cost, price
from space.shared.plain import InputError

ARCH = Path(__file__).parents[3] / "conf" / "arch"
MD = Architecture.load(ARCH / "md.yaml")
NARROW = {"norm_groups": 4, "head_width": 4, "time_width": 8, "latent_size": 8, "context_width": 6}
MIDDLE = {"blocks": [1, 0], "conv": "separable", "self_attention": False, "cross_attention": True}
# Small enough to list, and each with something that is ignored in some networks and acts in others.
SPACES = {
    "one level": Space(
        {
            "a": LevelRanges(
                (8, 12), ("full", "separable"), (1, 2), (0, 1), (0, 2), (True, False), (False, True)
            )
        },
        (2, 4),
        (2, 3),
        (True, False),
        ("swish", "gelu"),
        ("softmax", "relu"),
        (3, 1),
        NARROW,
    ),
    "three levels": Space(
        {
            "a": LevelRanges((8, 12), layers_down=(0, 1), self_attention=(True, False)),
            "b": LevelRanges(
                (12,), ("full", "separable"), (2, 1), layers_up=(0, 1), cross_attention=(False, True)
            ),
            "c": LevelRanges((8, 16), ("separable", "full"), layers_up=(2, 0), self_attention=(False, True)),
        },
        separable_expansion=(4, 2),
        shared_key_value=(False, True),
        base=NARROW,
    ),
    "a middle": Space(
        {
            "a": LevelRanges((8,), ("full", "separable"), layers_up=(0, 1), self_attention=(False, True)),
            "b": LevelRanges((8, 12), layers_down=(0, 2), self_attention=(True, False)),
        },
        separable_expansion=(2, 3),
        feed_forward_ratio=(3, 2),
        shared_key_value=(True, False),
        activation=("gelu", "swish"),
        attention=("softmax", "relu"),
        base=NARROW | {"middle": MIDDLE, "stack_projection": "conv"},
    ),
}


def listed(space: Space) -> list[Architecture]:
    """Every encoding's architecture, the plain way."""
    names = [name for name, _ in space.choices()]
    values = [values for _, values in space.choices()]
    return [space.architecture(dict(zip(names, picked, strict=True))) for picked in product(*values)]


@pytest.fixture(scope="module", params=list(SPACES))
def small(request: pytest.FixtureRequest) -> tuple[Grid, list[Architecture], list[Cost]]:
    space = SPACES[request.param]
    every = listed(space)
    return Grid(space), every, [price(a) for a in every]


Small = tuple[Grid, list[Architecture], list[Cost]]


def every_row(grid: Grid) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.array(list(product(*(range(size) for size in grid.sizes.values()))), dtype=np.int16)


def test_rows_price_name_and_rebuild_every_encoding(small: Small) -> None:
    grid, every, costs = small
    rows = grid.canonical(every_row(grid))
    assert [tuple(cost) for cost in grid.price(rows).tolist()] == [tuple(cost) for cost in costs]
    assert grid.ids(rows) == [a.id for a in every]
    assert [grid.architecture(row) for row in rows] == every
    assert len(np.unique(rows, axis=0)) == len({a.id for a in every})


def test_counts_equal_listing(small: Small) -> None:
    grid, every, _ = small
    assert count(grid) == SpaceCount(len(every), len({a.id for a in every}))


@pytest.mark.parametrize("quantile", [0, 0.1, 0.5, 0.9, 1])
def test_what_fits_equals_listing(small: Small, quantile: float) -> None:
    grid, every, costs = small
    parameters, macs = (float(np.quantile([cost[at] for cost in costs], quantile)) for at in (0, 1))
    plain = float(np.quantile([cost.macs_without_attention_products for cost in costs], quantile))
    for budget in (
        Budget(parameters / 1e6, macs / 1e9),
        Budget(gmacs=macs / 1e9),
        Budget(parameters / 1e6),
        Budget(gmacs_without_attention_products=plain / 1e9),
        Budget(None, macs / 1e9, plain / 1e9, weights_mib=parameters / 2**20, precision="int8"),
    ):
        fits = [a.id for a, cost in zip(every, costs, strict=True) if not budget.excess(cost)]
        assert count_within(grid, budget) == SpaceCount(len(fits), len(set(fits)))


def test_a_bound_that_is_no_sum_is_refused(small: Small) -> None:
    message = r"budget.peak_activations_mib: a map adds up .* MiB of activations in fp16 .*allowed here: null"
    with pytest.raises(InputError, match=message):
        count_within(small[0], Budget(peak_activations_mib=100))
    with pytest.raises(InputError, match=r"peak_activations_mib: .*sum"):
        fits_budget(Budget(peak_activations_mib=100), small[0].price(every_row(small[0])[:3]))


def test_without_a_bound_everything_fits(small: Small) -> None:
    grid, _, _ = small
    assert count_within(grid, Budget()) == count(grid)


@pytest.mark.parametrize("which", list(MEANS))
def test_edges_equal_listing(small: Small, which: Any) -> None:
    grid, _, costs = small
    a, b = SIGNS[which]
    points = {(a * cost.parameters, b * cost.macs) for cost in costs}
    best = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    found = edge(grid, which)
    assert sorted((a * p, b * m) for p, m, _ in found.costs.tolist()) == sorted(best)
    assert found.costs.tolist() == [list(price(grid.architecture(row))) for row in found.rows]
    assert list(found.costs[:, 1]) == sorted(found.costs[:, 1])


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_undominated_by_definition(points: list[tuple[int, int]]) -> None:
    best = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    found = [points[index] for index in undominated(np.array(points))]
    assert len(found) == len(set(found))
    assert set(found) == best


# ---------------------------------------------------------------------- the space around MD


def test_md_networks_by_hand(md: Grid) -> None:
    """Level 3 always has layers, so the ratio and the activation always act; the rest by cases."""
    outer = {"bare": 3 * 2, "layers": 3 * 2 * 3}  # channels x blocks (x layers), conv apart
    middle = {"bare": 5 * 2, "layers": 5 * 2 * 8}
    inner = 9 * 16
    networks = 0
    for separable in product((0, 1), repeat=3):
        for attends in product(("bare", "none", "sa", "ca", "both"), repeat=2):
            for own in ("none", "sa", "ca", "both"):
                sizes = [
                    part["bare" if at == "bare" else "layers"]
                    for part, at in zip((outer, middle), attends, strict=True)
                ]
                some = {*attends, own}
                expansion = 3 if any(separable) else 1
                shared = 2 if some & {"sa", "both"} else 1
                kind = 2 if some & {"sa", "ca", "both"} else 1
                networks += prod(sizes) * inner * expansion * 3 * 2 * shared * kind
    assert count(md) == SpaceCount(192 * 720 * 1152 * 72, networks)


def test_sampled_rows_are_priced_exactly_and_repeat(md: Grid) -> None:
    rows = md.sample(np.random.default_rng(3), 400)
    again = [md.architecture(row) for row in rows]
    assert [tuple(cost) for cost in md.price(rows).tolist()] == [tuple(price(a)) for a in again]
    assert md.ids(rows) == [a.id for a in again]
    np.testing.assert_array_equal(rows, md.sample(np.random.default_rng(3), 400))


def test_samples_are_as_those_of_random_search(md: Grid) -> None:
    """The share that fits, by our samples and by `Space.sample`: two samples of one distribution."""
    budget = Budget(400, 200)
    rows = md.sample(np.random.default_rng(0), 200_000)
    ours = fits_budget(budget, md.price(rows)).mean()
    suggestions = UniformSuggestions(random.Random(0))
    plain = np.mean([not budget.excess(price(md.space.sample(suggestions))) for _ in range(1500)])
    assert abs(ours - plain) < 4 * 0.5 / 1500**0.5


def test_a_survey_counts_what_it_samples(md: Grid) -> None:
    budget, seen = Budget(400, 200, 180, weights_mib=700), []
    found = survey(md, 60_000, 7, budget, {"md": price(MD)}, lambda *chunk: seen.append(chunk))
    costs = np.concatenate([costs for _, costs, _ in seen])
    assert len(costs) == found.samples == found.density.counts.sum() == 60_000
    assert found.fits == sum(not budget.excess(Cost(*cost)) for cost in costs.tolist())
    smaller = (costs[:, 0] <= 387_376_712) & (costs[:, 1] <= price(MD).macs)
    assert found.no_larger == {"md": smaller.sum()}


def test_interval_by_hand() -> None:
    """Wilson, 1927: 10 of 20 -> 0.299 to 0.701; 0 of 10 -> 0 to 0.278."""
    assert interval(10, 20) == pytest.approx((0.2993, 0.7007), abs=1e-4)
    assert interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)


def test_neighbours_of_md(md: Grid) -> None:
    found = neighbours(md, MD)
    one_choice = {
        a.id
        for name, values in md.space.free().items()
        for value in values
        if (a := md.space.architecture(md.chosen(md.row(md.space.encode(MD))[0]) | {name: value})) != MD
    }
    assert {other.architecture.id for other in found} == one_choice
    assert len(found) == len(one_choice)
    assert [other.steps for other in found] == sorted(other.steps for other in found)
    for other in found:
        assert list(other.changes) == difference(MD, other.architecture)
        assert other.changes
        assert other.cost == price(other.architecture)
    narrower = next(other for other in found if other.changes == ("level 3 channels: 1024 -> 960",))
    assert narrower.steps == 1


def test_choices_are_those_that_may_be_ignored() -> None:
    assert {name for name, _ in SPACES["one level"].choices() if "." not in name} == set(ACTS_ON)


def test_an_impossible_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"levels\[0\].channels: 12 .*head_width = 8"):
        Grid(
            Space(
                {"a": LevelRanges((8, 12), layers_up=(0, 1), cross_attention=(True,))},
                base=NARROW | {"head_width": 8},
            )
        )

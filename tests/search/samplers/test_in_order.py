"""Samplers that go through a space in an order of their own: the grid and the Sobol sequence."""

from dataclasses import replace
from itertools import islice, product

import pytest

from search.samplers.base import Observation
from search.samplers.factory import make_sampler
from search.samplers.grid import GRID_PLACE, GridSettings
from search.samplers.random import RandomSampler
from search.samplers.sobol import SOBOL_PLACE as PLACE_OF_SOBOL
from search.samplers.sobol import SobolSampler
from space.budget import Budget
from space.choices import LevelRanges, Space
from space.prices.macs import price
from space.proxy import Proxy
from space.shared.plain import InputError
from tests.search.worlds import drive, make_search, md_space

FEW = Space(  # 48 combinations; attention says nothing without layers, so 6 x 2 x (1 + 1 x 2) = 36 networks
    levels={
        "level_1": LevelRanges((256, 320)),
        "level_2": LevelRanges(
            (512, 640, 768), ("full", "separable"), layers_down=(0, 1), cross_attention=(False, True)
        ),
    }
)


def grid_search(folder, seed=0, **changes):
    changes = {"space": FEW, "budget": Budget(50, None), "trials": 100, "proxy": Proxy()} | changes
    return make_search(folder, sampler="grid", seed=seed, **changes)


def networks(space):
    free = space.free()
    return {
        space.architecture(space.pinned() | dict(zip(free, values, strict=True))).id
        for values in product(*free.values())
    }


def test_a_grid_tries_every_network_once_refuses_each_over_budget_once_and_ends(tmp_path):
    search = grid_search(tmp_path)
    drive(search)
    tried = [trial.architecture.id for trial in search.history.trials]
    refused = [rejection.architecture_id for rejection in search.history.rejections]
    assert search.exhausted and search.finished
    assert len(networks(FEW)) == 36 and sorted(tried + refused) == sorted(networks(FEW))
    assert len(tried) >= 10 and len(refused) >= 5
    assert all(rejection.kind == "budget" for rejection in search.history.rejections)


def test_the_seed_shuffles_a_grid(tmp_path):
    orders = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        search = grid_search(tmp_path / str(seed), seed)
        drive(search)
        orders.append([trial.architecture.id for trial in search.history.trials])
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_a_grid_goes_on_after_failures_and_over_long_stretches_beyond_the_budget(tmp_path):
    """More than 200 networks in a row may not fit, and none of them is shrunk."""
    many = replace(FEW, levels=FEW.levels | {"level_1": LevelRanges(tuple(range(256, 1024, 32)))})
    budget = Budget(24, None)
    fitting = {
        architecture.id
        for values in product(*many.free().values())
        if not budget.excess(
            price(
                architecture := many.architecture(many.pinned() | dict(zip(many.free(), values, strict=True)))
            )
        )
    }
    search = grid_search(tmp_path, space=many, budget=budget)
    while (job := search.propose()) is not None:
        search.take_result(job.key, "failed", "and a failure leaves no place in the order")
    assert search.finished
    assert sorted(trial.architecture.id for trial in search.history.trials) == sorted(fitting)
    refused = [r.architecture_id for r in search.history.rejections if r.kind == "budget"]
    assert len(refused) == len(set(refused)) > 200  # all of them in a row, before the last trial


def test_a_grid_of_a_large_space_is_refused_with_its_size():
    with pytest.raises(InputError, match=r"11,466,178,560 .* 25 .*allowed: 20,000 .*pin"):
        next(make_sampler(GridSettings(), 0).proposals(md_space(), [], 0))


def test_a_grid_ranks_by_its_order_and_heeds_no_place_of_an_earlier_run():
    grid = make_sampler(GridSettings(), 0)
    order = [proposal.architecture for proposal in grid.proposals(FEW, [], 0)]
    assert grid.rank(FEW, order[::-1], [], 0) == list(range(len(order)))[::-1]
    params = FEW.encode(order[0])
    assert next(grid.proposals(FEW, [Observation(3, params, None, {GRID_PLACE: 7})], 4)) != next(
        grid.proposals(FEW, [Observation(-1, params, None, {GRID_PLACE: 7})], 0)
    )


# ---------------------------------------------------------------------- Sobol


def test_every_value_comes_about_equally_often_far_more_evenly_than_by_chance():
    space = md_space()

    def unevenness(sampler):
        sampled = list(islice(sampler.proposals(space, [], 0), 256))
        counts = [
            [sum(one.params[name] == value for one in sampled) * len(values) / 256 for value in values]
            for name, values in space.free().items()
        ]
        return max(abs(share - 1) for shares in counts for share in shares)

    assert unevenness(SobolSampler(0)) < 0.1 < unevenness(RandomSampler(0))


def test_the_sequence_goes_on_where_the_record_ends():
    space = md_space()
    whole = list(islice(SobolSampler(3).proposals(space, [], 0), 80))
    past = [Observation(0, whole[40].params, None, whole[40].attributes)]
    assert list(islice(SobolSampler(3).proposals(space, past, 1), 39)) == whole[41:]


def test_the_sequence_goes_on_where_an_earlier_run_of_it_ended():
    space = md_space()
    whole = list(islice(SobolSampler(3).proposals(space, [], 0), 80))
    earlier = [
        Observation(place - 100, whole[place].params, None, {PLACE_OF_SOBOL: place}) for place in (7, 40)
    ]
    assert list(islice(SobolSampler(3).proposals(space, earlier, 0), 39)) == whole[41:]
    other = list(islice(SobolSampler(4).proposals(space, [], 0), 80))
    assert list(islice(SobolSampler(4).proposals(space, earlier, 0), 80)) == other

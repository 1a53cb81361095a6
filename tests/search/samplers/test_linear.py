"""Standings by hand; the linear sampler beside scikit-learn's ridge regression, and in a linear world."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import islice
from statistics import NormalDist, fmean

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from search.named import named_architecture
from search.samplers.base import Observation
from search.samplers.linear import EXPLAINED, LinearSettings
from search.samplers.properties import properties
from search.samplers.random import RandomSampler
from search.samplers.standings import standings
from search.statistics.curves import Curve
from search.statistics.pareto import Point, rank_sums
from search.toy import BUDGET, RUNGS, SPACE, START, quality, scores_at
from space.choices import UniformSuggestions
from space.prices.macs import price


def curve(*fids: float) -> Curve:
    """FIDs at the first rungs; CLIP says the same."""
    return Curve(RUNGS[: len(fids)], tuple(Point.of(fid, -fid) for fid in fids))


def test_ranks_are_summed_over_both_scores():
    points = [Point.of(1, 0.1), Point.of(2, 0.3), Point.of(3, 0.2), Point.of(1, 0.3)]
    assert rank_sums(points) == [0 + 3, 2 + 0, 3 + 2, 0]


def test_at_the_first_rung_trials_stand_as_they_scored():
    assert standings([curve(30), curve(10), curve(20), Curve()]) == [1 / 6, 5 / 6, 3 / 6, None]


def test_who_goes_on_exchanges_places_with_those_who_did():
    """Second, third and fourth of five reach the next rung, and turn round there: the first and the last, who
    were stopped, stay."""
    early = [10, 20, 30, 40, 50]
    curves = [curve(10), curve(20, 9), curve(30, 8), curve(40, 7), curve(50)]
    assert standings([curve(fid) for fid in early]) == [0.9, 0.7, 0.5, 0.3, 0.1]
    assert standings(curves) == [0.9, 0.3, 0.5, 0.7, 0.1]


def test_a_poor_trial_that_ran_to_the_end_stands_below_those_stopped_ahead_of_it():
    poor, stopped, good = curve(50, 40, 30), curve(20), curve(10, 8, 6)
    assert standings([poor, stopped, good]) == [1 / 6, 3 / 6, 5 / 6]


def test_scores_that_are_no_numbers_give_no_place_and_later_ones_do():
    broken = Curve(RUNGS[:1], (Point.of(math.nan, 0.1),))
    back = Curve(RUNGS[:2], (Point.of(math.inf, 0.1), Point.of(5, -5)))
    assert standings([broken, curve(10, 9), back]) == [None, 0.5, 0.75]


def test_standings_do_not_depend_on_the_scale_of_the_scores():
    chance = random.Random(0)
    curves = [
        Curve(RUNGS[:n], tuple(Point.of(chance.uniform(10, 99), chance.random()) for _ in range(n)))
        for n in (1, 3, 2, 2, 1, 3, 3)
    ]
    scaled = [Curve(c.steps, tuple(Point.of(p.fid**3, p.clip * 7 - 1) for p in c.points)) for c in curves]
    assert standings(scaled) == standings(curves)
    assert sorted(standings(curves)) == pytest.approx([(n + 0.5) / 7 for n in range(7)])


# ---------------------------------------------------------------------- the sampler


def sampled(count: int, seed: int = 0) -> list[tuple[dict, object]]:
    chance, found = random.Random(seed), {}
    while len(found) < count:
        suggestions = UniformSuggestions(chance)
        architecture = SPACE.sample(suggestions)
        if not BUDGET.excess(price(architecture)):
            found[architecture.id] = (suggestions.params, architecture)
    return list(found.values())


def past_of(networks, rungs=3) -> list[Observation]:
    """Trials that went so far, seen by their curves; stopped ones have no scores of the end that count."""
    seen = []
    for number, (params, architecture) in enumerate(networks):
        points = tuple(scores_at(architecture, step) for step in RUNGS[:rungs])
        seen.append(
            Observation(number, params, Point.of(START.fid, START.clip), {}, Curve(RUNGS[:rungs], points))
        )
    return seen


def test_the_order_is_that_of_scikit_learns_ridge_regression():
    networks, others = sampled(14), [architecture for _, architecture in sampled(30, seed=1)]
    past = past_of(networks)
    rows, candidates = (
        np.stack([properties(a) for a in found]) for found in ([a for _, a in networks], others)
    )
    everybody = np.concatenate([rows, candidates])
    varied = everybody.std(axis=0) > 1e-9
    rows, candidates = (
        (x - everybody.mean(axis=0))[:, varied] / everybody.std(axis=0)[varied] for x in (rows, candidates)
    )
    places = standings([seen.curve for seen in past])
    scores = np.array([NormalDist().inv_cdf(place) for place in places])
    model = Ridge(alpha=rows.shape[1] / EXPLAINED, fit_intercept=False).fit(rows, scores - scores.mean())
    expected = model.predict(candidates)
    found = [
        expected[place] for place in LinearSettings(modelled_trials=200).make(0).rank(SPACE, others, past, 14)
    ]
    assert found == pytest.approx(sorted(expected, reverse=True), abs=1e-6)


def test_it_finds_what_is_good_where_effects_add_up_also_from_stopped_trials():
    """Ten trials that were all stopped at the first rung teach which networks to try."""
    past = past_of(sampled(10), rungs=1)
    candidates = [architecture for _, architecture in sampled(40, seed=2)]
    ranked = LinearSettings(modelled_trials=200).make(0).rank(SPACE, candidates, past, 10)
    best, worst = ([quality(candidates[place]) for place in part] for part in (ranked[:8], ranked[-8:]))
    assert fmean(best) > fmean(map(quality, candidates)) + 0.15 > fmean(worst) + 0.3


def test_before_two_trials_have_scores_the_order_is_random_and_the_seeds_own():
    candidates = [architecture for _, architecture in sampled(12)]
    running = [Observation(0, sampled(1)[0][0], None, {})]
    orders = {
        tuple(LinearSettings(modelled_trials=200).make(seed).rank(SPACE, candidates, running, 1))
        for seed in range(6)
    }
    assert len(orders) == 6 and all(sorted(order) == list(range(12)) for order in orders)


def test_what_it_keeps_of_one_space_does_not_stand_for_another():
    """The same choices are other networks where what is not searched differs."""
    past, kept = past_of(sampled(10)), LinearSettings(modelled_trials=200).make(0)
    for latent_size in (32, 128, 32):
        space = replace(SPACE, base={**SPACE.base, "latent_size": latent_size})
        candidates = [space.architecture(space.pinned() | params) for params, _ in sampled(40, seed=3)]
        fresh = LinearSettings(modelled_trials=200).make(0).rank(space, candidates, past, 10)
        assert kept.rank(space, candidates, past, 10) == fresh


def test_properties_by_hand():
    """MD-Lite, counted by hand."""
    lite = named_architecture("md_lite")
    found = properties(lite)
    assert len(found) == 14 + 3 * 11
    layers, self_attention, cross_attention = np.expm1(found[2:5]).round(6)
    assert (layers, self_attention, cross_attention) == (15, 12, 15)  # Table 6 of the paper
    assert found[5:14].tolist() == [1, 2, 1, 4, 3, 3, 1, 0, 0]
    of_levels = found[14:].reshape(3, 11)
    assert of_levels[:, 1:5].tolist() == [[2, 0, 0, 0], [2, 0, 0, 1], [3, 1, 1, 1]]
    down, attending_down, up, attending_up = np.expm1(of_levels[:, [5, 6, 8, 9]]).round(6).T.tolist()
    assert down == attending_down == [0, 1, 6] and up == attending_up == [0, 2, 6]
    assert of_levels[:, 7].tolist() == of_levels[:, 10].tolist() == [0, 1, 1]


def test_cross_attention_that_nothing_is_drawn_through_is_not_as_cross_attention_upwards():
    """Where a stack has no layers, cross-attention stands nowhere in it."""
    lite = named_architecture("md_lite")
    middle = replace(lite.levels[1], down=(2,), up=(0, 0))
    found = properties(replace(lite, levels=(lite.levels[0], middle, lite.levels[2])))
    level = found[14:].reshape(3, 11)[1]
    assert np.expm1(level[[5, 6, 8, 9]]).round(6).tolist() == [2, 2, 0, 0]
    assert level[[4, 7, 10]].tolist() == [1, 1, 0]


def test_a_pool_comes_in_the_order_of_its_rank_and_then_another():
    past = past_of(sampled(9))
    sampler = LinearSettings(modelled_trials=200).make(3)
    found = [proposal.architecture for proposal in islice(sampler.proposals(SPACE, past, 9), 250)]
    again = sampler.rank(SPACE, found[:200], past, 9)
    values = [quality(network) for network in found]
    assert fmean(values[:20]) > fmean(values[180:200]) + 0.3  # the pool's best, its worst,
    assert fmean(values[200:220]) > fmean(values[180:200]) + 0.3  # and the next pool's best
    assert [found[place].id for place in again[:5]] == [network.id for network in found[:5]]
    uniform = [p.architecture for p in islice(RandomSampler(3).proposals(SPACE, [], 9), 200)]
    assert fmean(values[:20]) > fmean(map(quality, uniform))

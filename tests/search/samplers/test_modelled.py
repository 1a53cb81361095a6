"""What of a past is modelled: bounded, finite, and the same for all descriptions of one network."""

from __future__ import annotations

import math
import random
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.samplers.base import Observation
from search.samplers.factory import SamplerSettings, make_sampler
from search.samplers.linear import LinearSettings
from search.samplers.modelled import Settled, thinned, with_finite_scores
from search.samplers.nsga2 import Nsga2Settings
from search.samplers.optuna_private import GENERATION
from search.statistics.pareto import Point, fronts
from search.testing import some_past, with_other_inactive
from search.toy import SPACE
from space.choices import UniformSuggestions
from space.shared.plain import InputError, from_plain
from tests.search.worlds import md_space, scores_at

points = st.builds(Point.of, st.sampled_from([10.0, 20.0, 30.0, 40.0]), st.sampled_from([0.1, 0.2, 0.3]))
pasts = st.lists(st.one_of(st.none(), points), max_size=30).map(
    lambda found: [Observation(number, {}, point, {}) for number, point in enumerate(found)]
)


@given(pasts, st.integers(2, 12))
def test_thinning_keeps_the_best_half_by_front_and_the_newest_of_the_rest(past, most):
    kept = thinned(past, most)
    scored = [seen for seen in past if seen.point is not None]
    assert kept == [seen for seen in past if seen in kept]  # in their order
    assert [seen for seen in kept if seen.point is None] == [seen for seen in past if seen.point is None]
    modelled = [seen for seen in kept if seen.point is not None]
    assert len(modelled) == min(most, len(scored))
    if len(scored) <= most:
        return
    ranks = dict(zip([s.number for s in scored], fronts([s.point for s in scored]), strict=True))
    by_front = sorted(scored, key=lambda seen: (ranks[seen.number], -seen.number))
    best = {seen.number for seen in by_front[: most // 2]}
    newest = [seen.number for seen in scored if seen.number not in best][-(most - most // 2) :]
    assert {seen.number for seen in modelled} == best | set(newest)


def test_scores_that_are_no_numbers_are_not_modelled():
    past = [
        Observation(number, {}, point, {})
        for number, point in enumerate(
            [
                Point.of(math.nan, 0.1),
                Point.of(5.0, math.inf),
                Point.of(5.0, 0.1),
                None,
                Point.of(-math.inf, 0.1),
            ]
        )
    ]
    assert [seen.number for seen in with_finite_scores(past)] == [2, 3]


def test_descriptions_of_one_network_settle_alike_and_still_encode_it():
    settled, changed = Settled(SPACE), 0
    for index, seen in enumerate(some_past(60)):
        params = settled.params(seen.params)
        assert settled.params(with_other_inactive(seen.params, index)) == params
        network = SPACE.architecture(SPACE.pinned() | seen.params)
        assert SPACE.architecture(SPACE.pinned() | params) == network
        assert settled.of(network) == params
        changed += params != seen.params
    assert changed > 10


def test_what_nothing_acts_on_settles_at_any_value_so_that_it_teaches_nothing():
    """Attention of a level without layers: about as often there as not, over many networks."""
    space = md_space()
    settled, stand, chance = Settled(space), [], random.Random(0)
    while len(stand) < 300:
        suggestions = UniformSuggestions(chance)
        network = space.sample(suggestions)
        if not network.levels[0].layers:
            stand.append(settled.params(suggestions.params)["level_1.self_attention"])
    assert 0.4 < statistics.fmean(stand) < 0.6


@pytest.mark.parametrize("modelled", [19, 501])
def test_the_bound_has_bounds(modelled):
    with pytest.raises(InputError, match=rf"modelled_trials: {modelled} .*; allowed: 20 to 500"):
        LinearSettings(modelled_trials=modelled)


def long_past(count: int, population: int) -> list[Observation]:
    space, chance, seen = md_space(), random.Random(0), []
    for number in range(count):
        suggestions = UniformSuggestions(chance)
        at = scores_at(space.sample(suggestions), 400)
        noisy = Point.of(at.fid * chance.lognormvariate(0, 0.2), at.clip + chance.gauss(0, 0.05))
        seen.append(Observation(number, suggestions.params, noisy, {GENERATION: number // population}))
    return seen


def test_nsga2_bears_more_generations_than_pythons_stack_and_counts_on_from_them():
    """Optuna goes back through all generations, one call inside the other."""
    past = long_past(3000, 2)
    sampler = make_sampler(Nsga2Settings(population=2, modelled_trials=500), 0)
    for count in (3000, 500):  # thinned, and just not
        proposal = next(sampler.proposals(md_space(), past[:count], count))
        assert proposal.attributes == {GENERATION: count // 2}


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_the_time_of_a_proposal_is_bounded_however_long_the_past(name):
    """In seconds of this process, since the machine may be busy with others."""
    space, past, seconds = md_space(), long_past(4000, 6), {}
    for count in (400, 4000):
        sampler = make_sampler(from_plain(SamplerSettings, {"name": name}), 0)
        took = []
        for number in range(count, count + 5):
            began = time.process_time()
            next(sampler.proposals(space, past[:count], number))
            took.append(time.process_time() - began)
        seconds[count] = statistics.median(took)
    assert seconds[4000] < 4 * seconds[400]
    assert seconds[4000] < 0.2

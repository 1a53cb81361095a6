"""Samplers by three objectives: all of them count, and what the past holds says which they are."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest

from search.objectives import FID_AND_CLIP
from search.runs.record import MemoryRecord
from search.samplers.base import Observation, objectives_of_past, observations
from search.samplers.factory import SamplerSettings, make_sampler
from search.samplers.modelled import thinned, with_finite_scores
from search.samplers.random import RandomSampler
from search.samplers.standings import standings
from search.statistics.curves import Curve
from search.stopping.none import NoStopping
from search.toy import RUNGS, SPACE, drive, search_in
from space.choices import UniformSuggestions
from tests.search.three import START_OF_THREE, THREE, scores_of_three, three
from tests.search.worlds import preset


def some_past(count: int) -> list[Observation]:
    chance, seen = random.Random(0), []
    for number in range(count):
        suggestions = UniformSuggestions(chance)
        architecture = SPACE.sample(suggestions)
        point = scores_of_three(architecture, RUNGS[-1])
        seen.append(Observation(number, suggestions.params, point, {}, Curve(RUNGS[-1:], (point,))))
    return seen


@pytest.mark.parametrize("name", ["linear", "lasso", "tpe", "nsga2", "gp", "random", "sobol"])
def test_every_sampler_proposes_by_three(name: str) -> None:
    past = some_past(12)
    past[5] = replace(past[5], point=None)  # under way
    sampler = make_sampler(preset("sampler", name, SamplerSettings), 1)
    found = list(islice(sampler.proposals(SPACE, past, 12), 3))
    assert len(found) == 3
    again = make_sampler(preset("sampler", name, SamplerSettings), 1)
    assert [p.params for p in islice(again.proposals(SPACE, past, 12), 3)] == [p.params for p in found]


@pytest.mark.parametrize("name", ["linear", "lasso", "tpe"])
def test_what_is_wanted_depends_on_the_third(name: str) -> None:
    past = some_past(30)
    two = [
        replace(seen, point=point, curve=Curve(RUNGS[-1:], (point,)))
        for seen in past
        if seen.point is not None and (point := type(seen.point)(seen.point.values[:2]))
    ]
    candidates = [SPACE.architecture(SPACE.pinned() | seen.params) for seen in some_past(40)[30:]]
    sampler = make_sampler(preset("sampler", name, SamplerSettings), 1)
    assert sampler.rank(SPACE, candidates, past, 30) != sampler.rank(SPACE, candidates, two, 30)


def test_the_past_says_which_objectives_there_are() -> None:
    assert objectives_of_past(some_past(2)) == THREE
    assert objectives_of_past([]) == FID_AND_CLIP


def test_a_stopped_trial_counts_as_no_better_than_the_worst_complete_one_in_any() -> None:
    search = search_in(
        MemoryRecord(lambda: 0.0), RandomSampler(0), NoStopping(), trials=3, start=START_OF_THREE
    )
    drive(search, scores_of_three)
    first, second, stopped = search.history.trials
    for trial, scores in ((first, (50, 0.5, 0.6)), (second, (60, 0.6, 0.4)), (stopped, (70, 0.7, 0.3))):
        trial.rungs[-1].scores |= {each.name: value for each, value in zip(THREE, scores, strict=True)}
    stopped.state = "halted"
    assert [seen.point for seen in observations(search.history.trials, THREE)] == [
        three(50, 0.5, 0.6),
        three(60, 0.6, 0.4),
        three(70, 0.5, 0.6),
    ]
    assert observations([stopped], THREE)[0].point == three(70, 0.7, 0.3)  # with none to compare with


def test_standings_and_thinning_are_by_three() -> None:
    points = [three(10, 0.5, 0.9), three(11, 0.4, 0.1), three(12, 0.3, 0.5)]
    sums = [Curve((100,), (point,)) for point in points]  # 0 + 0 + 2, 1 + 1 + 0, 2 + 2 + 1: the earlier lower
    assert standings(sums) == [0.5, 5 / 6, 1 / 6]
    past = [Observation(n, {}, point, {}) for n, point in enumerate([*points, three(9, float("nan"), 1)])]
    assert [seen.number for seen in with_finite_scores(past)] == [0, 1, 2]
    assert [seen.number for seen in thinned(past[:3], 2)] == [1, 2]

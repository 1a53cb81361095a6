"""Replay: recorded curves stand for training. What a strategy finds, how soon, against what is true."""

from statistics import fmean

import numpy as np
import pytest

from analysis.replay.table import RecordedRun
from analysis.replay.tries import ReplayStrategy, TableSampler, Truth, replay
from search.backends.virtual import Conditions
from search.objectives import FID_AND_CLIP
from search.runs.record import Rung
from search.samplers.factory import SamplerSettings, make_sampler
from search.samplers.random import RandomSampler, RandomSettings
from search.stopping.asha import AshaSettings
from search.stopping.none import NoStoppingSettings
from tests.analysis.replay.recordings import table_of
from tests.search.worlds import preset, quality

RANDOM = ReplayStrategy("random", RandomSettings(), NoStoppingSettings())


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_replay_tries_every_recorded_network_once_and_finds_the_best(table, sampler):
    strategy = ReplayStrategy(sampler, preset("sampler", sampler, SamplerSettings), NoStoppingSettings(), 3)
    truth = Truth(table.runs, FID_AND_CLIP, 0.05)
    found = replay(table, strategy, truth, seed=1)
    assert found.trials == 40 and found.stopped == 0 and found.steps_spent == 40 * 400
    assert found.place[-1] == 1 / 40 and found.covered[-1] == pytest.approx(1.0)
    assert found.top_tried == len(truth.top) == 2 and found.top_stopped == 0
    assert found.usage.training == 40 * (400 + 3 * 2.0)
    assert replay(table, strategy, truth, seed=1) == found


def test_uniform_sampling_reaches_the_top_as_late_as_chance_says():
    small = table_of(19)
    truth = Truth(small.runs, FID_AND_CLIP, 0.01)
    assert len(truth.top) == 1
    sampled = [replay(small, RANDOM, truth, seed=seed).steps_to_top / 400 for seed in range(60)]
    expected, deviation = (19 + 1) / 2, ((19**2 - 1) / 12) ** 0.5
    assert abs(fmean(sampled) - expected) < 3.5 * deviation / len(sampled) ** 0.5


def test_a_model_of_quality_beats_uniform_sampling_where_quality_can_be_modelled(table):
    truth = Truth(table.runs, FID_AND_CLIP, 0.05)
    tpe = ReplayStrategy("tpe", preset("sampler", "tpe", SamplerSettings), NoStoppingSettings())
    steps = {
        s.name: np.median([replay(table, s, truth, seed=seed, steps=9000).steps_to_top for seed in range(12)])
        for s in (tpe, RANDOM)
    }
    assert steps["tpe"] < steps["random"]


def test_stopping_saves_steps_and_what_it_stopped_wrongly_is_counted(table):
    truth = Truth(table.runs, FID_AND_CLIP, 0.2)
    halving = ReplayStrategy("asha", RandomSettings(), AshaSettings(minimum_peers=1))
    found = [replay(table, halving, truth, seed=seed) for seed in range(5)]
    assert all(one.stopped > 5 and one.steps_spent < 40 * 400 for one in found)
    assert all(0 <= one.top_stopped <= one.top_tried == len(truth.top) for one in found)


def test_a_budget_of_steps_ends_a_replay(table):
    truth = Truth(table.runs, FID_AND_CLIP, 0.05)
    found = replay(table, RANDOM, truth, seed=0, steps=1000)
    assert found.steps_spent == 1200 and found.trials == 3
    many = replay(table, RANDOM, truth, seed=0, steps=1000, conditions=Conditions(workers=8))
    assert many.trials == 8  # those that run when the budget is spent are not cut


def test_without_a_rank_the_nearest_recorded_network_is_proposed(table):
    class Pointing:
        """Wants one network, always."""

        def proposals(self, space, past, number):
            return RandomSampler(5).proposals(space, past, 0)

    space = table.space
    sampler = TableSampler(Pointing(), table.candidates, space)
    wanted = space.encode(next(RandomSampler(5).proposals(space, [], 0)).architecture)
    order = [proposal.params for proposal in sampler.proposals(space, [], 0)]
    assert len(order) == 40
    away = [
        float(np.abs(sampler.coordinates(params) - sampler.coordinates(wanted)).sum()) for params in order
    ]
    assert away == sorted(away) and away[0] < away[-1]


def test_truth_is_the_mean_over_recorded_seeds(table):
    key, (run,) = next(iter(table.runs.items()))
    worse = RecordedRun(
        run.architecture,
        1,
        (*run.rungs[:-1], Rung(400, {"fid_embedded_clip": 400.0, "clip_embedded": 0.0}, {}, "end")),
        "",
    )
    point = Truth({key: (run, worse)}, FID_AND_CLIP, 1.0).points[key]
    own = run.rungs[-1].scores
    assert point.fid == pytest.approx((own["fid_embedded_clip"] * 400.0) ** 0.5)
    assert point.clip == pytest.approx(own["clip_embedded"] / 2)


def test_the_true_order_is_that_of_quality(table):
    truth = Truth(table.runs, FID_AND_CLIP, 0.05)
    best = min(truth.place, key=truth.place.__getitem__)
    assert quality(table.runs[best][0].architecture) == max(quality(a) for a in table.architectures)


def test_samplers_that_replays_treat_as_uniform_are():
    assert hasattr(make_sampler(RandomSettings(), 0), "rank")

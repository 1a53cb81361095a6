"""What is particular to each sampler; the contract of all is in test_contracts.py."""

import random
from dataclasses import replace
from itertools import islice

import optuna
import pytest

from search.objectives import FID_AND_CLIP
from search.samplers.base import Observation, Ranks, observations
from search.samplers.factory import SamplerSettings, make_sampler
from search.samplers.gp import GaussianProcessSettings
from search.samplers.nsga2 import Nsga2Settings
from search.samplers.random import RandomSettings
from search.samplers.studies import distributions
from search.samplers.tpe import TpeSettings
from search.statistics.pareto import Point
from space.architecture import Architecture
from space.budget import Budget
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.shared.plain import from_plain
from tests.search.worlds import drive, make_search, md_space, preset, scores_at

SAMPLERS = ("tpe", "nsga2", "random")


def past_of(folder, trials=8, scores=scores_at, **changes):
    search = make_search(folder, trials=trials, **changes)
    drive(search, scores)
    search.record.close()
    return observations(search.history.trials, FID_AND_CLIP)


def first(name, past, number=None, count=3, seed=0):
    sampler = make_sampler(preset("sampler", name, SamplerSettings), seed)
    return list(islice(sampler.proposals(md_space(), past, len(past) if number is None else number), count))


@pytest.mark.parametrize("name", SAMPLERS)
def test_seed_and_number_change_what_is_proposed(name, tmp_path):
    past = past_of(tmp_path)
    base = first(name, past)
    assert base != first(name, past, seed=1) and base != first(name, past, number=99)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("history", ["running", "enqueued outside the space"])
def test_trials_without_scores_or_choices_are_no_obstacle(name, history, tmp_path):
    search = make_search(tmp_path, trials=3)
    jobs = [search.propose() for _ in range(3)]
    if history == "enqueued outside the space":
        for job in jobs:
            search.history.by_key[job.key].params = None
    past = observations(search.history.trials, FID_AND_CLIP)
    assert len(first(name, past, number=3)) == 3


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_the_quality_of_past_trials_changes_proposals(name, tmp_path):
    """The same architectures, judged the other way round, must lead elsewhere."""

    def upside_down(architecture, step):
        point = scores_at(architecture, step)
        return Point.of(110.0 - point.fid, 1.0 - point.clip)

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    good, bad = past_of(tmp_path / "a", 14), past_of(tmp_path / "b", 14, upside_down)
    assert [o.params for o in good] == [o.params for o in bad]
    wide = [
        sum(
            p.architecture.levels[-1].channels
            for number in range(14, 34)
            for p in first(name, past, number, 4)
        )
        for past in (good, bad)
    ]
    assert wide[0] > wide[1]


def test_tpe_hears_of_no_rejection_so_a_tight_budget_does_not_drown_it(tmp_path):
    """In a budget that four of five proposals break, what TPE is told holds every feasible trial and
    nothing else, and its proposals still lean towards the good."""
    search = make_search(tmp_path, trials=20, sampler="tpe", budget=Budget(280, 156))
    drive(search)
    assert len(search.history.rejections) > 20
    past = observations(search.history.trials, FID_AND_CLIP)
    assert len(past) == 20 and all(o.point is not None for o in past)
    late = search.history.trials[10:]
    assert sum(trial.architecture.levels[-1].cross_attention for trial in late) >= 8  # half by chance


def test_a_stopped_trial_never_passes_for_better_than_a_complete_one(tmp_path):
    search = make_search(tmp_path, trials=16, stopping="paper")
    drive(search)
    stopped = {trial.number for trial in search.history.trials if trial.state == "halted"}
    assert stopped
    seen = observations(search.history.trials, FID_AND_CLIP)
    complete = [o.point for o in seen if o.number not in stopped]
    for observation in seen:
        if observation.number in stopped:
            assert all(observation.point.fid >= point.fid for point in complete)
            assert all(observation.point.clip <= point.clip for point in complete)


def test_few_enough_startup_trials_that_twelve_are_not_all_random():
    assert preset("sampler", "tpe", SamplerSettings).startup_trials <= 4


def test_random_candidates_spread_over_the_budget():
    sampler = make_sampler(RandomSettings(), 0)
    feasible = [
        price(p.architecture)
        for p in islice(sampler.proposals(md_space(), [], 0), 300)
        if not Budget(400, 200).excess(price(p.architecture))
    ]
    gmacs = sorted(cost.gmacs for cost in feasible)
    assert gmacs[len(gmacs) // 10] < 130 and gmacs[-len(gmacs) // 10] > 180


def without_conditions():
    """The md space with layers and separable blocks at every level: no choice is ever ignored."""
    space = md_space()
    some = {"layers_down": (1, 2), "layers_up": (1, 2), "conv": ("separable",), "self_attention": (True,)}
    return replace(space, levels={key: replace(ranges, **some) for key, ranges in space.levels.items()})


def scored(space, count, seed=1):
    """That many networks of a space, sampled at random, with noisy scores."""
    chance, seen = random.Random(seed), []
    for number in range(count):
        suggestions = UniformSuggestions(chance)
        at = scores_at(space.sample(suggestions), 400)
        noisy = Point.of(at.fid * chance.lognormvariate(0, 0.2), at.clip + chance.gauss(0, 0.05))
        seen.append(Observation(number, suggestions.params, noisy, {}))
    return seen


def test_tpe_ranks_given_networks_as_it_ranks_its_own_candidates(monkeypatch):
    """Of the candidates that Optuna samples for one proposal, the one that it takes comes out first, and the
    others in the order of its acquisition."""
    space, sampled = without_conditions(), {}
    compare = optuna.samplers.TPESampler._compare

    def watched(samples, values):
        sampled.update(samples=samples, values=values)
        return compare(samples, values)

    monkeypatch.setattr(optuna.samplers.TPESampler, "_compare", staticmethod(watched))
    past, known = scored(space, 60), distributions(space)
    for number in (60, 61, 62):
        sampler = make_sampler(TpeSettings(), 0)
        chosen = next(sampler.proposals(space, past, number))
        candidates = [
            space.architecture(
                space.pinned()
                | {n: known[n].to_external_repr(v[i].item()) for n, v in sampled["samples"].items()}
            )
            for i in range(len(sampled["values"]))
        ]
        values, order = list(sampled["values"]), sampler.rank(space, candidates, past, number)
        assert candidates[order[0]] == chosen.architecture
        assert [values[place] for place in order] == pytest.approx(sorted(values, reverse=True))


def test_the_gp_wants_its_own_proposal_more_than_chance_ones():
    space, past = without_conditions(), scored(without_conditions(), 20)
    sampler = make_sampler(GaussianProcessSettings(), 0)
    first_proposal, *others = islice(sampler.proposals(space, past, 20), 21)
    candidates = [proposal.architecture for proposal in (*others, first_proposal)]
    order = sampler.rank(space, candidates, past, 20)
    assert order[0] == len(candidates) - 1
    assert order[1:] == list(range(20))  # the further proposals come in the same order


@pytest.mark.parametrize("name", ["random", "tpe", "gp"])
def test_a_rank_names_every_candidate_once_in_whatever_order_they_come(name):
    space, past = md_space(), scored(md_space(), 12)
    md = Architecture.load("conf/arch/md.yaml")
    candidates = [seen_architecture(space, seen) for seen in scored(space, 20, seed=5)]
    candidates += [replace(md, head_width=32)]  # not a point of the space
    sampler = make_sampler(from_plain(SamplerSettings, {"name": name}), 3)
    assert isinstance(sampler, Ranks)
    order = sampler.rank(space, candidates, past, 12)
    assert sorted(order) == list(range(21))
    assert [20 - place for place in sampler.rank(space, candidates[::-1], past, 12)] == order
    assert sorted(sampler.rank(space, candidates, [], 0)) == list(range(21))  # before there is a model
    if name != "random":
        assert order[-1] == 20


def seen_architecture(space, seen):
    return space.architecture(space.pinned() | seen.params)


def test_nsga2_does_not_claim_to_rank():
    assert not isinstance(make_sampler(Nsga2Settings(), 0), Ranks)

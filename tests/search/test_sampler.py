"""One contract that every sampler passes, and what is particular to each."""

import subprocess
import sys
from itertools import islice

import pytest

from search.ranking import Objectives, Point
from search.sampler import SamplerSettings, make_sampler, observations
from space.cost import Budget, price
from tests.search.worlds import drive, make_search, md_space, preset, scores_at

SAMPLERS = ("tpe", "nsga2", "random")


def past_of(folder, trials=8, scores=scores_at, **changes):
    search = make_search(folder, trials=trials, **changes)
    drive(search, scores)
    search.record.close()
    return observations(search.history.trials, Objectives())


def first(name, past, number=None, count=3, seed=0):
    sampler = make_sampler(preset("sampler", name, SamplerSettings), seed)
    return list(islice(sampler.proposals(md_space(), past, len(past) if number is None else number), count))


@pytest.mark.parametrize("name", SAMPLERS)
def test_equal_arguments_give_equal_proposals_in_another_process_too(name, tmp_path):
    code = (
        "from tests.search.test_sampler import *; from pathlib import Path; "
        f"print([p.architecture.id for p in first({name!r}, past_of(Path({str(tmp_path)!r})), 8)])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (tmp_path / "again").mkdir()
    here = [proposal.architecture.id for proposal in first(name, past_of(tmp_path / "again"), 8)]
    assert there.strip().splitlines()[-1] == str(here)


@pytest.mark.parametrize("name", SAMPLERS)
def test_seed_and_number_change_what_is_proposed(name, tmp_path):
    past = past_of(tmp_path)
    base = first(name, past)
    assert base != first(name, past, seed=1) and base != first(name, past, number=99)


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_are_points_of_the_space_and_params_draw_them(name, tmp_path):
    space = md_space()
    pinned = {choice: values[0] for choice, values in space.choices() if len(values) == 1}
    for proposal in first(name, past_of(tmp_path), count=20):
        assert set(proposal.params) == set(space.free())
        assert space.architecture(pinned | proposal.params) == proposal.architecture
        assert space.architecture(pinned | space.encode(proposal.architecture)) == proposal.architecture


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("history", ["none", "failed", "running", "enqueued outside the space"])
def test_a_history_without_scores_is_no_obstacle(name, history, tmp_path):
    search = make_search(tmp_path, trials=3)
    jobs = [] if history == "none" else [search.propose() for _ in range(3)]
    if history == "failed":
        for job in jobs:
            search.take_result(job.key, "failed", "diverged")
    if history == "enqueued outside the space":
        for job in jobs:
            search.history.by_key[job.key].params = None
    past = observations(search.history.trials, Objectives())
    assert len(first(name, past, number=3)) == 3


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_the_quality_of_past_trials_changes_proposals(name, tmp_path):
    """The same architectures, judged the other way round, must lead elsewhere."""

    def upside_down(architecture, step):
        point = scores_at(architecture, step)
        return Point(110.0 - point.fid, 1.0 - point.clip)

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
    past = observations(search.history.trials, Objectives())
    assert len(past) == 20 and all(o.point is not None for o in past)
    late = search.history.trials[10:]
    assert sum(trial.architecture.levels[-1].cross_attention for trial in late) >= 8  # half by chance


def test_a_halted_trial_never_passes_for_better_than_a_complete_one(tmp_path):
    search = make_search(tmp_path, trials=16, stopping="paper")
    drive(search)
    halted = {trial.number for trial in search.history.trials if trial.state == "halted"}
    assert halted
    seen = observations(search.history.trials, Objectives())
    complete = [o.point for o in seen if o.number not in halted]
    for observation in seen:
        if observation.number in halted:
            assert all(observation.point.fid >= point.fid for point in complete)
            assert all(observation.point.clip <= point.clip for point in complete)


def test_few_enough_startup_trials_that_twelve_are_not_all_random():
    assert preset("sampler", "tpe", SamplerSettings).startup_trials <= 4


def test_random_candidates_spread_over_the_budget():
    sampler = make_sampler(SamplerSettings(name="random"), 0)
    feasible = [
        price(p.architecture)
        for p in islice(sampler.proposals(md_space(), [], 0), 300)
        if not Budget(400, 200).excess(price(p.architecture))
    ]
    gmacs = sorted(cost.gmacs for cost in feasible)
    assert gmacs[len(gmacs) // 10] < 130 and gmacs[-len(gmacs) // 10] > 180

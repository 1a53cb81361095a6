"""Every sampler and every stopping rule passes the contract, and each clause fails one that breaks it."""

from __future__ import annotations

import inspect
import random
from functools import partial

import pytest

from search.samplers.base import Proposal
from search.samplers.factory import SamplerSettings, make_sampler
from search.samplers.random import RandomSampler
from search.statistics.curves import points_at
from search.stopping.factory import StoppingSettings, make_rule
from search.stopping.median import MedianRule
from search.testing import RuleContract, SamplerContract
from tests.search.worlds import preset


def sampler(name, *, seed):
    return make_sampler(preset("sampler", name, SamplerSettings), seed)


def rule(name, *, noise):
    return make_rule(preset("stopping", name, StoppingSettings), noise)


class TestTPE(SamplerContract):
    make = partial(sampler, "tpe")


class TestNSGA2(SamplerContract):
    make = partial(sampler, "nsga2")


class TestGP(SamplerContract):
    make = partial(sampler, "gp")


class TestLinear(SamplerContract):
    make = partial(sampler, "linear")


class TestLasso(SamplerContract):
    make = partial(sampler, "lasso")


class TestRandom(SamplerContract):
    make = RandomSampler


class TestSobol(SamplerContract):
    make = partial(sampler, "sobol")


class TestGrid(SamplerContract):
    make = partial(sampler, "grid")


class TestLeaders(RuleContract):
    make = partial(rule, "leaders")


class TestPaper(RuleContract):
    make = partial(rule, "paper")


class TestMedian(RuleContract):
    make = partial(rule, "median")


class TestAsha(RuleContract):
    make = partial(rule, "asha")


class TestExtrapolate(RuleContract):
    make = partial(rule, "extrapolate")


class TestNone(RuleContract):
    make = partial(rule, "none")


# ---------------------------------------------------------------------- the suite can fail


class Uniform:
    """A sound sampler, for the broken ones to break in one place."""

    def __init__(self, seed):
        self.seed = seed

    def proposals(self, space, past, number):
        chance = self.chance(past, number)
        while True:
            yield Proposal.of(space, {name: chance.choice(values) for name, values in space.free().items()})

    def chance(self, past, number):
        return random.Random(f"{self.seed}/{number}")


class Remembering(Uniform):
    """One generator for all calls."""

    def __init__(self, seed):
        self.generator = random.Random(seed)

    def chance(self, past, number):
        return self.generator


class Hashing(Uniform):
    """Python's hash of a text differs from process to process."""

    def chance(self, past, number):
        return random.Random(hash(f"{self.seed}/{number}"))


class Disagreeing(Uniform):
    """The params of one network with the architecture of another."""

    def proposals(self, space, past, number):
        stream = super().proposals(space, past, number)
        for proposal in stream:
            yield Proposal(next(stream).params, proposal.architecture)


class ReadingEverything(Uniform):
    """Takes inactive parameters for a difference."""

    def chance(self, past, number):
        return random.Random(f"{self.seed}/{[seen.params for seen in past]}")


class NeedingScores(Uniform):
    def chance(self, past, number):
        best = min(seen.point.fid for seen in past if seen.point is not None)
        return random.Random(f"{self.seed}/{best}/{number}")


class TrustingScores(Uniform):
    def chance(self, past, number):
        total = int(sum(seen.point.fid for seen in past if seen.point is not None))
        return random.Random(f"{self.seed}/{total}/{number}")


class GivingUp(Uniform):
    def proposals(self, space, past, number):
        return super().proposals(space, past, number) if number < 4 else iter(())


SAMPLER_CLAUSES = {
    "test_equal_arguments_give_equal_proposals_and_are_left_alone": Remembering,
    "test_another_process_proposes_the_same": Hashing,
    "test_proposals_are_points_of_the_space_that_their_params_encode": Disagreeing,
    "test_choices_that_nothing_acts_on_change_nothing": ReadingEverything,
    "test_a_past_without_scores_is_no_obstacle": NeedingScores,
    "test_some_scores_that_are_no_numbers_are_no_obstacle": TrustingScores,
    "test_a_search_stays_within_its_budget_and_tries_no_network_twice": GivingUp,
    "test_killed_and_rebuilt_from_the_record_it_goes_on_as_if_it_never_was": Remembering,
}


class SoundRule:
    """A sound rule, for the broken ones to break in one place."""

    def __init__(self, noise):
        self.rule = MedianRule(minimum_peers=1)

    def reason_to_stop(self, trial, peers, start, full_steps):
        return self.rule.reason_to_stop(trial, peers, start, full_steps)


class Counting(SoundRule):
    """Stops every third that it is asked about."""

    asked = 0

    def reason_to_stop(self, trial, peers, start, full_steps):
        self.asked += 1
        return "its turn" if self.asked % 3 == 0 and peers else ""


class HashingRule(SoundRule):
    def reason_to_stop(self, trial, peers, start, full_steps):
        return "unlucky" if peers and hash(repr(trial)) % 2 else ""


class WithoutComparison(SoundRule):
    def reason_to_stop(self, trial, peers, start, full_steps):
        return "a high FID" if trial.points[-1].fid > 50 else ""


class AveragingAll(SoundRule):
    """A score that is no number makes the mean none, under which nobody lags."""

    def reason_to_stop(self, trial, peers, start, full_steps):
        here = [peer.points[peer.steps.index(trial.step)].fid for peer in peers if trial.step in peer.steps]
        return "lags" if here and trial.points[-1].fid > sum(here) / len(here) else ""


class Rounding(SoundRule):
    def reason_to_stop(self, trial, peers, start, full_steps):
        return "a high FID" if peers and int(trial.points[-1].fid) > 50 else ""


class StoppingAll(SoundRule):
    """Whoever has a peer, and the first one at its second rung."""

    def reason_to_stop(self, trial, peers, start, full_steps):
        return "no" if points_at(peers, trial.step) or trial.step > 100 else ""


RULE_CLAUSES = {
    "test_equal_arguments_give_equal_reasons_and_are_left_alone": Counting,
    "test_another_process_decides_the_same": HashingRule,
    "test_nobody_is_stopped_without_anybody_to_compare_with": WithoutComparison,
    "test_peers_whose_scores_are_no_numbers_count_for_nothing": AveragingAll,
    "test_a_trial_whose_scores_are_no_numbers_is_no_obstacle": Rounding,
    "test_a_search_keeps_its_budget_and_somebody_goes_to_the_end": StoppingAll,
    "test_killed_and_rebuilt_from_the_record_it_goes_on_as_if_it_never_was": Counting,
}


def contract_of(base, made):
    """A contract that the other process finds in this file by its name."""
    name = f"{made.__name__}Contract"
    return globals().setdefault(name, type(name, (base,), {"make": made, "__module__": __name__}))


CASES = [
    (base, clause, contract_of(base, made), contract_of(base, sound))
    for base, clauses, sound in (
        (SamplerContract, SAMPLER_CLAUSES, Uniform),
        (RuleContract, RULE_CLAUSES, SoundRule),
    )
    for clause, made in clauses.items()
]


def check(contract, clause, folder):
    """One clause, in all of its kinds."""
    test = getattr(contract(), clause)
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    names = inspect.signature(test).parameters
    given = {"tmp_path": folder} if "tmp_path" in names else {}
    for kind in marks[0].args[1] if marks else [None]:
        test(**given, **({"kind": kind} if marks else {}))


@pytest.mark.parametrize(
    ("base", "clause", "broken", "sound"), CASES, ids=[f"{case[0].__name__}-{case[1]}" for case in CASES]
)
def test_a_clause_fails_what_breaks_it_and_passes_what_does_not(base, clause, broken, sound, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    check(sound, clause, tmp_path / "a")
    with pytest.raises((AssertionError, ValueError)):
        check(broken, clause, tmp_path / "b")


@pytest.mark.parametrize(
    ("base", "clauses"), [(SamplerContract, SAMPLER_CLAUSES), (RuleContract, RULE_CLAUSES)]
)
def test_every_clause_has_somebody_who_breaks_it(base, clauses):
    assert {name for name in vars(base) if name.startswith("test_")} == set(clauses)

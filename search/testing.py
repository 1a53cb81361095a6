"""The contract of samplers and of stopping rules, as tests to inherit: ours pass them, and yours should.

A test file of three lines checks a sampler of your own (for a rule likewise, with `RuleContract`):

    from my_sampler import MySampler
    from mdsearch.testing import SamplerContract

    class TestMySampler(SamplerContract): make = MySampler

`make` is called with `seed=` for a sampler and with `noise=` for a rule; `staticmethod` around a function
makes one with options. They are tried in the small world of `search.toy`. Needs pytest.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from search.runs.record import MemoryRecord, Record
from search.samplers.base import Observation, Proposal, Sampler
from search.samplers.random import RandomSampler
from search.statistics.curves import Curve
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule, as_rule
from search.stopping.none import NoStopping
from search.toy import BUDGET, NOISE, RUNGS, SPACE, START, decisions, drive, scores_at, search_in
from space.choices import UniformSuggestions

BROKEN = (math.nan, math.inf, -math.inf)


class SamplerContract:
    """What every sampler keeps. Set `make`, called with `seed=`."""

    make: Callable[..., Sampler]

    def test_equal_arguments_give_equal_proposals_and_are_left_alone(self) -> None:
        past = some_past(8)
        before = copy.deepcopy(past)
        sampler = self.make(seed=1)
        expected = proposed(sampler, past)
        proposed(sampler, past[:5], number=5)  # asked for another trial in between
        assert proposed(sampler, past) == expected, "a second call gave other proposals"
        assert proposed(self.make(seed=1), past) == expected, "a new sampler of this seed gave others"
        assert past == before, "the past was changed"

    def test_another_process_proposes_the_same(self) -> None:
        assert _elsewhere(self, "proposed_here") == self.proposed_here()

    def proposed_here(self) -> Any:
        return [_plain(proposal) for proposal in proposed(self.make(seed=1), some_past(8))]

    def test_proposals_are_points_of_the_space_that_their_params_encode(self) -> None:
        free = SPACE.free()
        for proposal in proposed(self.make(seed=2), some_past(6), count=20):
            assert proposal.params.keys() == free.keys()
            assert all(value in free[name] for name, value in proposal.params.items())
            assert SPACE.architecture(SPACE.pinned() | proposal.params) == proposal.architecture

    def test_choices_that_nothing_acts_on_change_nothing(self) -> None:
        past = some_past(8)
        duplicates = [
            replace(seen, params=with_other_inactive(seen.params, index)) for index, seen in enumerate(past)
        ]
        assert duplicates != past
        assert proposed(self.make(seed=1), duplicates) == proposed(self.make(seed=1), past)

    @pytest.mark.parametrize("kind", ["nothing", "all failed", "all running", "scores that are no numbers"])
    def test_a_past_without_scores_is_no_obstacle(self, kind: str) -> None:
        past = [] if kind in ("nothing", "all failed") else some_past(6)  # failed trials are left out
        if kind == "all running":
            past = [replace(seen, point=None) for seen in past]
        if kind == "scores that are no numbers":
            points = [Point.of(BROKEN[index % 3], BROKEN[index // 3]) for index in range(6)]
            past = [replace(seen, point=point) for seen, point in zip(past, points, strict=True)]
        number = 0 if kind == "nothing" else 6
        assert len(proposed(self.make(seed=3), past, number=number)) == 3

    def test_some_scores_that_are_no_numbers_are_no_obstacle(self) -> None:
        past = some_past(9)
        for index, (fid, clip) in enumerate([(math.nan, 0.5), (5.0, math.nan), (math.inf, -math.inf)]):
            past[3 * index] = replace(past[3 * index], point=Point.of(fid, clip))
        assert len(proposed(self.make(seed=4), past)) == 3

    def test_a_search_stays_within_its_budget_and_tries_no_network_twice(self) -> None:
        search = search_in(MemoryRecord(lambda: 0.0), self.make(seed=0), NoStopping(), trials=7)
        drive(search)
        trials = search.history.trials
        assert len(trials) == 7 and {trial.state for trial in trials} == {"complete"}
        assert not [trial.number for trial in trials if BUDGET.excess(trial.architecture)]
        assert len({trial.architecture.id for trial in trials}) == 7

    def test_killed_and_rebuilt_from_the_record_it_goes_on_as_if_it_never_was(self, tmp_path: Path) -> None:
        _assert_rebuilt(tmp_path, lambda: self.make(seed=0), NoStopping)


class RuleContract:
    """What every stopping rule keeps. Set `make`, called with `noise=`. A rule sees curves and no choices,
    so that inactive parameters cannot change what it decides."""

    make: Callable[..., StoppingRule]

    def test_equal_arguments_give_equal_reasons_and_are_left_alone(self) -> None:
        rule, cases = self.make(noise=NOISE), some_cases(60)
        before = copy.deepcopy(cases)
        expected = [reason(rule, *case) for case in cases]
        assert all(isinstance(said, str) for said in expected)
        backwards = [reason(rule, *case) for case in reversed(cases)]
        assert backwards[::-1] == expected, "asked again, in another order, it decided otherwise"
        assert [reason(self.make(noise=NOISE), *case) for case in cases] == expected
        assert cases == before, "the curves were changed"

    def test_another_process_decides_the_same(self) -> None:
        assert _elsewhere(self, "decided_here") == self.decided_here()

    def decided_here(self) -> Any:
        return [reason(self.make(noise=NOISE), *case) for case in some_cases(60)]

    @pytest.mark.parametrize("kind", ["no peers", "all failed", "one peer"])
    def test_nobody_is_stopped_without_anybody_to_compare_with(self, kind: str) -> None:
        rule = self.make(noise=NOISE)
        for trial, peers in some_cases(30):
            others = {"no peers": [], "all failed": [Curve() for _ in peers], "one peer": peers[:1]}[kind]
            said = reason(rule, trial, others)
            assert isinstance(said, str)
            assert kind == "one peer" or said == ""

    def test_peers_whose_scores_are_no_numbers_count_for_nothing(self) -> None:
        rule = self.make(noise=NOISE)
        for trial, peers in some_cases(60):
            broken = [
                Curve(RUNGS, (Point.of(value, 0.5), Point.of(5.0, value), Point.of(value, value)))
                for value in BROKEN
            ]
            assert bool(reason(rule, trial, [*peers, *broken])) == bool(
                reason(rule, trial, [*peers, Curve()])
            )

    def test_a_trial_whose_scores_are_no_numbers_is_no_obstacle(self) -> None:
        rule = self.make(noise=NOISE)
        for trial, peers in some_cases(20):
            for value in BROKEN:
                broken = Curve(trial.steps, (*trial.points[:-1], Point.of(value, value)))
                assert isinstance(reason(rule, broken, peers), str)

    def test_a_search_keeps_its_budget_and_somebody_goes_to_the_end(self) -> None:
        rule = as_rule(self.make(noise=NOISE))
        search = search_in(MemoryRecord(lambda: 0.0), RandomSampler(0), rule, trials=16)
        drive(search)
        trials = search.history.trials
        assert len(trials) == 16 and {trial.state for trial in trials} <= {"complete", "halted"}
        assert not [trial.number for trial in trials if BUDGET.excess(trial.architecture)]
        assert "complete" in {trial.state for trial in trials}
        stopped = [trial for trial in trials if trial.state == "halted"]
        assert all(trial.last_step < RUNGS[-1] and trial.reason for trial in stopped)

    def test_killed_and_rebuilt_from_the_record_it_goes_on_as_if_it_never_was(self, tmp_path: Path) -> None:
        _assert_rebuilt(tmp_path, lambda: RandomSampler(0), lambda: as_rule(self.make(noise=NOISE)))


# ---------------------------------------------------------------------- what they are tried on


def some_past(count: int) -> list[Observation]:
    """Trials of the space, sampled at random, with their scores; every fifth still runs."""
    chance, seen = random.Random(0), []
    for number in range(count):
        suggestions = UniformSuggestions(chance)
        architecture = SPACE.sample(suggestions)
        point = None if number % 5 == 4 else scores_at(architecture, RUNGS[-1])
        seen.append(Observation(number, suggestions.params, point, {}))
    return seen


def proposed(
    sampler: Sampler, past: Sequence[Observation], *, number: int | None = None, count: int = 3
) -> list[Proposal]:
    number = len(past) if number is None else number
    return list(islice(sampler.proposals(SPACE, past, number), count))


def with_other_inactive(params: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same network: inactive parameters are sampled anew."""
    suggestions = UniformSuggestions(random.Random(seed))
    SPACE.sample(suggestions)
    ignored = SPACE.ignored(SPACE.architecture(SPACE.pinned() | params))
    return params | {name: suggestions.params[name] for name in ignored}


def some_cases(count: int) -> list[tuple[Curve, list[Curve]]]:
    """Trials at their first or second rung, each with the curves of up to nine others, some stopped."""
    chance = random.Random(0)
    cases = []
    for _ in range(count):
        peers = [_some_curve(chance, chance.choice((1, 2, 3, 3, 3))) for _ in range(chance.randrange(1, 10))]
        cases.append((_some_curve(chance, chance.choice((1, 2))), peers))
    return cases


def _some_curve(chance: random.Random, rungs: int) -> Curve:
    good, points = chance.random(), []
    for step in RUNGS[:rungs]:
        progress = good * (step / RUNGS[-1]) ** 0.5
        fid = (START.fid - 90.0 * progress) * chance.lognormvariate(0, 0.05)
        points.append(Point.of(fid, START.clip + 0.9 * progress + chance.gauss(0, 0.02)))
    return Curve(RUNGS[:rungs], tuple(points))


def reason(rule: StoppingRule, trial: Curve, peers: Sequence[Curve]) -> str:
    return as_rule(rule).reason_to_stop(trial, peers, START, RUNGS[-1])


# ---------------------------------------------------------------------- killed, and in another process


def _assert_rebuilt(
    folder: Path, sampler: Callable[[], Sampler], rule: Callable[[], StoppingRule], trials: int = 6
) -> None:
    for name, pieces in (("whole", [None]), ("halves", [7, 4, None])):  # killed twice
        (folder / name).mkdir()
        for most_rungs in pieces:
            record = Record(folder / name)
            drive(search_in(record, sampler(), rule(), trials=trials), most_rungs=most_rungs)
            record.close()
    assert decisions(folder / "halves") == decisions(folder / "whole")


def _elsewhere(contract: Any, method: str) -> Any:
    """What a method of this test class returns in another process."""
    cls = type(contract)
    code = (
        "import json, sys; from search.testing import run_elsewhere; "
        "print(json.dumps(run_elsewhere(*sys.argv[1:])))"
    )
    hashes = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # not as here
    ran = subprocess.run(
        [sys.executable, "-c", code, inspect.getfile(cls), cls.__qualname__, method],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def run_elsewhere(file: str, name: str, method: str) -> Any:
    """The other process's side: the test file is imported, and one method of one of its classes called."""
    spec = importlib.util.spec_from_file_location("contract_under_test", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(getattr(module, name)(), method)()


def _plain(proposal: Proposal) -> dict[str, Any]:
    return {"params": proposal.params, "architecture": proposal.architecture.id, "by": proposal.attributes}

"""Strategies in pairs, on planted tables whose answer is known."""

import random
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np

from analysis.efficiency.draws import half_of, halves, in_half, part_of, shares, subset_of, teachers
from analysis.efficiency.figures import StrategyFigures, figure, oracle, ratio_of_means
from analysis.efficiency.replays import Replaying, replay_strategy
from analysis.evidence.decisions import PAPER_DECISIONS
from analysis.replay.table import RecordedRun, RecordedTable
from analysis.replay.tries import Replayed, ReplayStrategy, Truth, replay
from conf.compose import compose
from search.objectives import FID_AND_CLIP, objectives_to_plain
from search.runs.record import Rung, Trial
from search.samplers.linear import LinearSettings
from search.samplers.random import RandomSettings
from search.statistics.verdicts import Interval
from search.stopping.asha import AshaSettings
from search.stopping.custom import CustomRuleSettings
from search.stopping.none import NoStoppingSettings
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy
from space.shared.plain import to_plain
from tests.search.worlds import MD_BUDGET, NOISE, START, md_space, preset

RUNGS, COUNT = (100, 400), 40
RANDOM = RandomSettings()
KNOWING = """
class Below:
    def __init__(self, noise, fid):
        self.fid = fid

    def reason_to_stop(self, trial, peers, start, full_steps):
        return "above" if trial.points[0].fid > self.fid else ""
"""


@cache
def networks():
    chance, found = random.Random(0), {}
    while len(found) < COUNT:
        network = md_space().sample(UniformSuggestions(chance))
        if not MD_BUDGET.excess(price(network)):
            found[network.id] = network
    return tuple(found.values())


def planted(early):
    """A table whose networks end with FIDs of 1, 2, ... by their place; `early(place)` is the FID at the
    first rung. CLIP says the same."""
    runs = {}
    for place, network in enumerate(networks()):
        at = (early(place), 1.0 + place)
        rungs = [
            Rung(step, {"fid_embedded_clip": fid, "clip_embedded": -fid / 1000}, {"training": 60.0}, "")
            for step, fid in zip(RUNGS, at, strict=True)
        ]
        runs[network.id] = (RecordedRun(network, 0, tuple(rungs), "made up"),)
    header = {
        "rungs": list(RUNGS),
        "objectives": objectives_to_plain(FID_AND_CLIP),
        "space": to_plain(md_space()),
        "budget": to_plain(MD_BUDGET),
        "proxy": to_plain(preset("proxy", "embedded", Proxy)),
        "noise": to_plain(NOISE),
    }
    return RecordedTable(header, START, runs)


def steps_of(table, stopping, seeds=30, top_share=0.05):
    truth = Truth(table.runs, table.objectives, top_share)
    strategy = ReplayStrategy("", RANDOM, stopping)
    found = StrategyFigures()
    for seed in range(seeds):
        found.add(replay(table, strategy, truth, seed=seed, steps=1, until_top=True), table, truth, (), (1,))
    return found


def test_who_knows_the_end_by_the_first_rung_needs_exactly_the_oracles_steps(tmp_path):
    """The two best of 40 are known by their first FID: the replay's steps are those of the closed form."""
    rule = tmp_path / "rule.py"
    rule.write_text(KNOWING)
    table = planted(lambda place: 100.0 + place)
    knowing = CustomRuleSettings(use=f"{rule}:Below", options={"fid": 101.5})
    base, own = steps_of(table, NoStoppingSettings()), steps_of(table, knowing)
    assert own.steps == oracle(base.steps, RUNGS[0] / RUNGS[1]) and sum(own.top_stopped) == 0
    assert min(base.steps) >= 1 and max(base.steps) <= COUNT - 1 and len(set(base.steps)) > 10
    assert own.minutes == [
        60 * (steps - 1 + 2) / 60 for steps in base.steps
    ]  # a rung each, and two for the last


def test_a_first_rung_that_says_nothing_gains_nothing():
    """All equal there: nobody is stopped, and the ratio is 1 with nothing around it."""
    table = planted(lambda place: 50.0)
    base, halving = (steps_of(table, rule) for rule in (NoStoppingSettings(), AshaSettings()))
    assert halving.steps == base.steps
    assert figure(ratio_of_means, base.steps, halving.steps) == Interval(1.0, 1.0, 1.0)


def test_a_first_rung_that_misleads_costs_steps_and_what_it_stopped_is_counted():
    table = planted(lambda place: 100.0 - place)  # the best looks worst
    base, halving = (steps_of(table, rule) for rule in (NoStoppingSettings(), AshaSettings()))
    assert figure(ratio_of_means, base.steps, halving.steps).high < 1
    assert sum(halving.top_stopped) > 0.8 * sum(halving.top_tried)


def test_a_replay_that_stopped_all_of_the_best_pays_for_training_them_again():
    table = planted(lambda place: 50.0)
    truth = Truth(table.runs, table.objectives, 0.05)
    found = StrategyFigures()
    never = Replayed(
        steps=[400], named=[networks()[5].id], stopped=38, steps_spent=4600, top_tried=2, top_stopped=2
    )
    never.usage.wall = 600.0
    found.add(never, table, truth, (networks()[5].id,), (0.5, 1))
    assert found.never == [True] and found.steps == [
        4600 / 400 + 39 / 3
    ]  # 38 and 2: the mean place of the first
    assert found.minutes == [10 + 39 / 3 * 2]  # two rungs of a minute each
    assert found.place == {0.5: [COUNT], 1: [6]} and found.within == {0.5: [False], 1: [True]}


def test_what_is_named_counts_when_it_is_complete():
    truth = SimpleNamespace(place={"a": 7, "b": 0}, top={"b"})
    found = StrategyFigures()
    one = Replayed(steps=[400, 1000], named=["a", "b"], steps_to_top=1000, seconds_to_top=90.0)
    found.add(one, planted(lambda place: 1.0), truth, ("b",), (0.9, 1, 2.4, 2.5))
    assert found.steps == [2.5] and found.minutes == [1.5] and found.never == [False]
    assert found.place == {0.9: [COUNT], 1: [8], 2.4: [8], 2.5: [1]}
    assert found.within == {0.9: [False], 1: [False], 2.4: [False], 2.5: [True]}


# ---------------------------------------------------------------------- what recorded networks teach


def trials_of(table, keys):
    """As a record would hold them."""
    fields = {"key": "0", "number": 0, "purpose": "search", "name": "trial 0", "seed": 0, "steps": RUNGS[-1]}
    for key in keys:
        run = table.runs[key][0]
        yield Trial(
            **fields, architecture=run.architecture, cost=price(run.architecture), source="table",
            params=md_space().encode(run.architecture), rungs=list(run.rungs), state="complete",
        )  # fmt: skip


def test_a_taught_strategy_finds_what_its_teachers_point_to():
    """The FID of the end is that of the parameters: half the table says so, and the first of the other half
    that is tried is its smallest network. Not taught, the first is any."""
    by_size = sorted(networks(), key=lambda network: price(network).parameters)
    sizes = {network.id: 1.0 + place for place, network in enumerate(by_size)}
    table = planted(lambda place: 50.0)
    for key, runs in table.runs.items():
        for rung in runs[0].rungs:
            rung.scores.update({"fid_embedded_clip": sizes[key], "clip_embedded": -sizes[key]})
    even = {network.id for network in by_size[::2]}
    part = replace(table, runs={key: runs for key, runs in table.runs.items() if key in even})
    truth = Truth(part.runs, part.objectives, 0.1)
    strategy = ReplayStrategy("", LinearSettings(), NoStoppingSettings())
    prior = list(trials_of(table, set(table.runs) - even))
    steps = {}
    for taught in (False, True):
        known = prior if taught else []
        found = [
            replay(part, strategy, truth, seed=seed, steps=1, until_top=True, prior=known)
            for seed in range(8)
        ]
        steps[taught] = [each.steps_to_top for each in found]
    assert set(steps[True]) == {RUNGS[-1]} and np.mean(steps[False]) > 2 * RUNGS[-1]


def histories_of(table):
    trials = list(trials_of(table, table.runs))
    return {name: SimpleNamespace(trials=trials, confirmations=[], prior=[]) for name in ("table", "again")}


def test_teachers_are_complete_and_each_network_once():
    table = planted(lambda place: 1.0)
    histories = histories_of(table)
    found = [trial.architecture.id for trial in teachers(histories, [], md_space())]
    assert found == list(table.runs)
    first = histories["table"].trials[0]
    without = teachers(histories, [first.architecture], md_space())
    assert [trial.architecture.id for trial in without] == found[1:]
    first.state = "halted"
    assert found[0] not in ids_of(teachers(histories, [], md_space()))


def test_a_share_is_taught_by_what_the_tuning_half_has_besides():
    table = planted(lambda place: 1.0)
    known = teachers(histories_of(table), [], md_space())
    (one,) = shares(table, known, "held_out", 0.5, 1)
    assert one.table.runs == subset_of(in_half(table, "held_out"), 0.5, 0).runs and one.seeds == (0,)
    assert ids_of(one.teachers) == set(in_half(table, "tuning").runs)
    (one,) = shares(table, known, "all", 0.5, 1)
    assert ids_of(one.teachers) == set(in_half(table, "tuning").runs) - set(one.table.runs)


def ids_of(trials):
    return {trial.architecture.id for trial in trials}


# ---------------------------------------------------------------------- halves


@cache
def paired():
    """The planted table with partners of its first networks, each in one decision."""
    decision = next(each for each in PAPER_DECISIONS if each.slug == "relu")
    pairs = [(one, decision.partner(one, md_space())) for one in networks()[:12]]
    table = planted(lambda place: 1.0)
    (first, *_), clustered = table.runs.values(), [{one.id, two.id} for one, two in pairs if two]
    more = {two.id: (replace(first[0], architecture=two),) for _, two in pairs if two}
    return replace(table, runs=table.runs | more), clustered


def test_partners_in_one_decision_are_on_one_side_of_every_half():
    table, pairs = paired()
    assert len(pairs) > 5
    for half in ("all", "tuning", "held_out"):
        for draw in halves(table, teachers(histories_of(table), [], md_space()), half, 6, 2):
            drawn, taught = set(draw.table.runs), ids_of(draw.teachers)
            assert not drawn & taught
            assert all(pair <= drawn or not pair & drawn for pair in pairs)
            assert all(pair <= taught or not pair & taught for pair in pairs)


def test_every_half_is_drawn_anew_and_taught_by_all_others_that_may_be_seen():
    table, _ = paired()
    known, seen = teachers(histories_of(table), [], md_space()), {}
    for half in ("all", "tuning", "held_out"):
        draws = list(halves(table, known, half, 6, 2))
        assert [draw.seeds for draw in draws] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)]
        assert len({frozenset(draw.table.runs) for draw in draws}) == 6
        seen[half] = [set(draw.table.runs) | ids_of(draw.teachers) for draw in draws]
        drawn = {key for draw in draws for key in draw.table.runs}
        for draw in draws:
            assert 0 <= len(draw.table.runs) - len(drawn) / 2 < 2  # a cluster more than half at most
        if half == "held_out":
            assert not drawn & seen["tuning"][0]
    assert seen["all"] == seen["held_out"] == [set(table.runs)] * 6
    assert seen["tuning"] == [seen["tuning"][0]] * 6 and len(seen["tuning"][0]) < len(table.runs)


def test_a_cluster_is_where_most_of_its_networks_are():
    tuning, held_out = (sorted(in_half(planted(float), half).runs) for half in ("tuning", "held_out"))
    assert part_of((tuning[0], *held_out[:2])) == "held_out"
    assert part_of((held_out[0], *tuning[:2])) == "tuning"
    for pair in (tuple(sorted((held_out[0], tuning[0]))), (tuning[0],)):
        assert part_of(pair) == half_of(pair[0])


def test_halves_are_fixed_and_share_nothing():
    table = planted(lambda place: 1.0)
    tuning, held_out = (set(in_half(table, half).runs) for half in ("tuning", "held_out"))
    assert not tuning & held_out and tuning | held_out == set(table.runs) == set(in_half(table, "all").runs)
    assert 12 <= len(tuning) <= 28  # of 40, within 2.5 deviations of half
    assert half_of("18d7c0d8ae8b") == half_of("18d7c0d8ae8b")
    grown = in_half(RecordedTable(table.header, START, dict(list(table.runs.items())[:20])), "tuning")
    assert set(grown.runs) <= tuning  # a network stays where it is when a table grows


def test_a_seed_samples_a_share_of_its_own():
    table = planted(lambda place: 1.0)
    sampled = [tuple(sorted(subset_of(table, 0.5, seed).runs)) for seed in (0, 1, 0)]
    assert len(sampled[0]) == COUNT / 2 and sampled[0] == sampled[2] != sampled[1]
    assert subset_of(table, 1.0, 3).runs == table.runs


def test_rungs_are_the_searchs_where_the_table_has_them():
    table = planted(lambda place: 1.0)
    assert replay_strategy("", compose("search", ["rungs=[400]"]), table).rungs == (400,)
    assert replay_strategy("", compose("search", ["rungs=[200,400]"]), table).rungs == RUNGS


def test_a_strategy_is_the_searchs():
    plain = compose("search", ["sampler=random", "stopping=none"])
    expected = ReplayStrategy("uniform", RANDOM, NoStoppingSettings(), rungs=RUNGS)
    assert replay_strategy("uniform", plain, planted(lambda place: 1.0)) == expected


def test_stopping_is_held_against_the_same_strategy_without_it():
    strategies = [
        ReplayStrategy(name, sampler, stopping)
        for name, sampler, stopping in (
            ("random", RANDOM, NoStoppingSettings()),
            ("random, halving", RANDOM, AshaSettings()),
            ("linear, halving", LinearSettings(), AshaSettings()),
            ("taught", LinearSettings(), NoStoppingSettings()),
            ("taught, halving", LinearSettings(), AshaSettings()),
        )
    ]
    replaying = Replaying(tuple(strategies), frozenset({"taught", "taught, halving"}), NOISE, (1.0,))
    assert replaying.without_stopping == {"random, halving": "random", "taught, halving": "taught"}

"""Replay: recorded curves stand for training; a run's decisions are checked against its record."""

import json
import random
from statistics import fmean
from unittest import mock

import numpy as np
import pytest
import yaml

from analysis.replay.recheck import recheck
from analysis.replay.surrogate import Surrogate
from analysis.replay.table import RecordedRun, RecordedTable, check_rungs, load_table
from analysis.replay.tries import ReplayStrategy, TableSampler, Truth, feasible, replay
from conf.compose import compose
from mdsearch.commands.replay import main, strategies
from search.backends.virtual import Conditions
from search.objectives import FID_AND_CLIP, objectives_to_plain
from search.preparation import search_strategy
from search.runs.header import noise_of_rule
from search.runs.record import RECORD_NAME, Record, Rung
from search.samplers.factory import SamplerSettings, make_sampler
from search.samplers.random import RandomSampler, RandomSettings
from search.settings import settings_from_plain
from search.statistics.pareto import Point
from search.stopping.asha import AshaSettings
from search.stopping.none import NoStoppingSettings
from search.strategy import Job, Report
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy
from space.shared.plain import InputError, to_plain
from tests.search.worlds import MD_BUDGET, NOISE, RUNGS, START, drive, md_space, preset, quality, scores_at

AT = ", ".join(f"{{step: {step}, fid_relative: 0.05, clip: 0.02}}" for step in RUNGS)
WORDS = ("rungs=[100,200,400]", f"noise.rungs=[{AT}]", "noise.measured_under=[]")
RANDOM = ReplayStrategy("random", RandomSettings(), NoStoppingSettings())


def write_run(folder, *words, noise=0.0, most_rungs=None):
    """A run folder of a search in the world of `worlds.py`, with a config that its settings load from."""
    settings = settings_from_plain(compose("search", [f"name={folder.name}", *words], before=WORDS))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_plain(settings)))
    chance = random.Random(0)

    def noisy(architecture, step):
        point = scores_at(architecture, step)
        return Point.of(point.fid * chance.lognormvariate(0, noise), point.clip + chance.gauss(0, noise))

    with mock.patch("os.fsync"):
        record = Record(folder)
        if not record.history.header:
            plain = to_plain(settings)
            names = ("rungs", "budget", "space", "proxy", "data", "training", "sampler", "noise")
            header = {name: plain[name] for name in names if name in plain} | {"overrides": list(words)}
            header["objectives"] = objectives_to_plain(settings.objectives)
            record.append("run", name=folder.name, seed=settings.seed, trials=settings.trials, **header)
            record.append("start", scores=START, protocol={"id": "test"})
        record.append("session", trials=settings.trials, backend="inline")
        search = search_strategy(settings, record, noise_of_rule(record.history))
        drive(search, noisy, most_rungs=most_rungs)
        record.close()
    return folder


def table_of(count, seed=0, **changes):
    """Feasible random networks, one or more recorded runs each, without any folder."""
    space, chance, runs = md_space(), random.Random(seed), {}
    while len(runs) < count:
        architecture = space.sample(UniformSuggestions(chance))
        if MD_BUDGET.excess(price(architecture)):
            continue
        rungs = []
        for before, step in zip((0, *RUNGS), RUNGS, strict=False):
            point = scores_at(architecture, step)
            scores = {
                "fid_embedded_clip": point.fid * chance.lognormvariate(0, 0.02),
                "clip_embedded": point.clip,
            }
            rungs.append(Rung(step, scores, {"training": float(step - before), "sampling": 2.0}, "continue"))
        runs[architecture.id] = (RecordedRun(architecture, 0, tuple(rungs), "made up"),)
    header = {
        "rungs": list(RUNGS),
        "objectives": objectives_to_plain(FID_AND_CLIP),
        "space": to_plain(space),
        "budget": to_plain(MD_BUDGET),
        "proxy": to_plain(preset("proxy", "embedded", Proxy)),
        "noise": to_plain(NOISE),
    }
    return RecordedTable(header, START, runs, **changes)


@pytest.fixture(scope="module")
def table():
    return table_of(40)


# ---------------------------------------------------------------------- checking a record


@pytest.mark.parametrize("words", [("sampler=tpe",), ("sampler=nsga2", "stopping=asha"), ("sampler=random",)])
def test_a_records_decisions_come_out_again_also_after_a_kill(tmp_path, words):
    run = write_run(tmp_path / "a", "trials=9", "budget=md_lite", *words, most_rungs=11)
    write_run(tmp_path / "a", "trials=9", "budget=md_lite", *words)
    found = recheck(run)
    assert found.agrees, found.sentence()
    kinds = [json.loads(line)["event"] for line in (run / RECORD_NAME).read_text().splitlines()]
    assert found.agreed == sum(kind in ("proposed", "rejected", "rung") for kind in kinds) > 20


def test_a_driver_of_two_workers_killed_while_it_proposed_decided_as_its_settings_ask(tmp_path):
    """Resumed, it first goes on with what was interrupted, and proposes anew when more is known."""
    run = tmp_path / "a"
    words = ("trials=6", "budget=md_lite", "sampler=tpe", "sampler.startup_trials=1", "stopping=none")
    write_run(run, *words, most_rungs=0)
    settings = settings_from_plain(compose("search", [*WORDS, "name=a", *words]))

    def die(event, history):
        if event["event"] == "rejected" and event["before_trial"] == 2:
            raise KeyboardInterrupt

    with mock.patch("os.fsync"):
        record = Record(run)
        record.listeners.append(die)
        search = search_strategy(settings, record, noise_of_rule(record.history))
        jobs = [search.propose(), search.propose()]
        for step in RUNGS:
            point = scores_at(jobs[0].architecture, step)
            scores = {"fid_embedded_clip": point.fid, "clip_embedded": point.clip}
            search.judge(jobs[0].key, Report(step, scores, {}))
        search.take_result(jobs[0].key, "complete")
        with pytest.raises(KeyboardInterrupt):
            search.propose()
        record.close()
    write_run(run, *words)
    found = recheck(run)
    assert found.agrees, found.sentence()


@pytest.mark.parametrize(
    ("event", "change", "said"),
    [
        ("rung", {"decision": "halt"}, "rung .* at step .*: decision 'halt' is recorded; now it would be"),
        ("proposed", {"architecture_id": "000000000000"}, "proposed .: architecture_id '000000000000'"),
        ("rejected", {"reason": "a whim"}, "rejected .: reason 'a whim' is recorded"),
    ],
)
def test_a_decision_that_the_settings_would_not_take_is_named(tmp_path, event, change, said):
    run = write_run(tmp_path / "a", "trials=5", "budget=md_lite")
    lines = [json.loads(line) for line in (run / RECORD_NAME).read_text().splitlines()]
    place = next(index for index, line in enumerate(lines) if line["event"] == event)
    lines[place] |= change
    (run / RECORD_NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = recheck(run)
    assert not found.agrees
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(found.sentence())


def test_a_line_that_is_no_event_is_named(tmp_path):
    run = write_run(tmp_path / "a", "trials=2")
    with (run / RECORD_NAME).open("a") as record:
        record.write('{"event":"rung","key":"0"}\n')
    with pytest.raises(InputError, match=r"line .* is not an event of a record"):
        recheck(run)


# ---------------------------------------------------------------------- the table


def test_runs_become_one_table_and_what_cannot_be_used_is_said(tmp_path):
    full = write_run(tmp_path / "a", "trials=6", "stopping=none", "seed=0")
    stopped = write_run(tmp_path / "b", "trials=12", "stopping=asha", "seed=1")
    found = load_table([str(full), str(stopped)])
    assert sum(len(runs) for runs in found.runs.values()) + len(found.stopped) == 18
    assert found.stopped and not found.left_out
    assert all([rung.step for rung in runs[0].rungs] == list(RUNGS) for runs in found.runs.values())


def test_runs_of_other_protocols_do_not_mix(tmp_path):
    a = write_run(tmp_path / "a", "trials=2")
    b = write_run(tmp_path / "b", "trials=2", "training.batch_size=8")
    with pytest.raises(InputError, match=r"measured differently.*training.batch_size: 16 against 8"):
        load_table([str(a), str(b)])


def test_a_seed_counts_once_and_other_seeds_are_repeats(tmp_path):
    a = write_run(tmp_path / "a", "trials=3", "sampler=random", "stopping=none")
    (tmp_path / "again").mkdir()
    for name in (RECORD_NAME, "config.yaml"):
        (tmp_path / "again" / name).write_text((a / name).read_text())
    assert load_table([str(a), str(tmp_path / "again")]).runs == load_table([str(a)]).runs


def test_rungs_left_out_still_cost_their_training(table):
    (run,) = next(iter(table.runs.values()))
    job = Job("0", "search", "", run.architecture, 0, (400,))
    (report,) = table.run(job, 0)
    assert report.seconds == {"training": 400.0, "sampling": 2.0} and report.scores == run.rungs[-1].scores
    with pytest.raises(InputError, match="nothing was recorded at step 300"):
        check_rungs([300, 400], table)
    with pytest.raises(InputError, match="must end with 400"):
        check_rungs([100], table)
    with pytest.raises(InputError, match=r"\[200, 100, 400\] do not rise"):
        check_rungs([200, 100, 400], table)


# ---------------------------------------------------------------------- replaying


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_replay_tries_every_recorded_network_once_and_finds_the_best(table, sampler):
    strategy = ReplayStrategy(sampler, preset("sampler", sampler, SamplerSettings), NoStoppingSettings(), 3)
    truth = Truth(table.runs, FID_AND_CLIP, 0.05)
    found = replay(table, strategy, truth, seed=1)
    assert found.trials == 40 and found.halted == 0 and found.steps_spent == 40 * 400
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
    assert all(one.halted > 5 and one.steps_spent < 40 * 400 for one in found)
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
    sampler = TableSampler(Pointing(), feasible(table), space)
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


# ---------------------------------------------------------------------- the surrogate


def test_the_surrogate_ranks_networks_it_has_not_seen_and_knows_how_well(table):
    surrogate = Surrogate(table)
    assert surrogate.accuracy.architectures == 40 and surrogate.accuracy.correlations["CLIP"] > 0.7
    unseen = table_of(30, seed=1)
    own = [surrogate.predict(a)[-1] for a in unseen.architectures]
    assert (
        np.corrcoef(
            np.argsort(np.argsort(own)), np.argsort(np.argsort([quality(a) for a in unseen.architectures]))
        )[0, 1]
        > 0.6
    )
    job = Job("0", "search", "", unseen.architectures[0], 0, RUNGS)
    reports = list(surrogate.run(job, 3))
    assert [report.step for report in reports] == list(RUNGS) and reports == list(surrogate.run(job, 3))
    assert sum(report.seconds["training"] for report in reports) == pytest.approx(400, rel=0.01)


def test_a_stopped_runs_gap_is_filled_and_what_was_measured_stays():
    whole = table_of(20)
    key, (run,) = next(iter(whole.runs.items()))
    stopped = RecordedRun(run.architecture, 0, run.rungs[:1], "a/3")
    rest = {other: runs for other, runs in whole.runs.items() if other != key}
    surrogate = Surrogate(RecordedTable(whole.header, START, rest, (stopped,)))
    (filled,) = surrogate.filled_table().runs[key]
    assert filled.rungs[0] == run.rungs[0] and filled.origin == "a/3 + surrogate"
    assert [rung.step for rung in filled.rungs] == list(RUNGS)
    final = filled.rungs[-1].scores["clip_embedded"]
    assert abs(final - run.rungs[-1].scores["clip_embedded"]) < 0.15


def test_too_few_networks_make_no_surrogate():
    with pytest.raises(InputError, match="needs 8 recorded"):
        Surrogate(table_of(7))


# ---------------------------------------------------------------------- the command


def test_the_command_compares_and_writes(tmp_path, capsys):
    run = write_run(tmp_path / "a", "trials=12", "stopping=none", "sampler=random", noise=0.02)
    out = tmp_path / "out"
    assert main([f"runs=[{run}]", "sampler=random", "stopping=paper,none", "seeds=3", f"out={out}"]) == 0
    said = capsys.readouterr().out
    assert "12 networks" in said and "times as fast" in said
    assert {path.name for path in out.iterdir()} == {"replay.json", "replay.csv", "replay.png"}
    assert len((out / "replay.csv").read_text().splitlines()) == 1 + 2 * 3
    assert set(json.loads((out / "replay.json").read_text())["strategies"]) == {"paper", "none"}


def test_where_results_cannot_go_is_known_before_anything_is_replayed(tmp_path, monkeypatch):
    run = write_run(tmp_path / "a", "trials=2", "stopping=none", "sampler=random")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("mdsearch.commands.replay.replay", None)
    with pytest.raises(InputError, match=r"out: .*file/out cannot be made: Not a directory"):
        main([f"runs=[{run}]", f"out={tmp_path / 'file' / 'out'}"])


def test_the_command_checks(tmp_path, capsys):
    run = write_run(tmp_path / "a", "trials=4")
    assert main([f"runs=[{run}]", "check=true"]) == 0
    (_, row) = capsys.readouterr().out.splitlines()
    assert row.split()[:5] == [str(run), "linear", "4", "/", "4"]


def test_one_strategy_stands_beside_uniform_sampling():
    assert list(strategies(["runs=[a]", "sampler=random"])) == ["as asked", "uniform, no stopping"]
    assert list(strategies(["runs=[a]", "sampler=tpe,random", "workers=1,8"])) == [
        "tpe, workers=1", "tpe, workers=8", "random, workers=1", "random, workers=8",
    ]  # fmt: skip
    assert list(strategies(["runs=[a]", "sampler=random", "stopping=none"])) == ["as asked"]
    own = strategies(["runs=[a]", "sampler=own,random", "sampler.use='my file.py:Mine'"])
    assert {name: to_plain(one.sampler) for name, one in own.items()} == {
        "own": {"name": "custom", "use": "my file.py:Mine", "options": None}, "random": {"name": "random"}
    }  # fmt: skip


def test_what_is_compared_may_be_a_field_that_the_baseline_has_not():
    words = ["sampler=tpe", "stopping.deviations=2", "sampler.good_share=0.2", "workers=3"]
    asked = strategies(["runs=[a]", *words])
    assert asked["as asked"].stopping.deviations == 2 and asked["as asked"].sampler.good_share == 0.2
    baseline = asked["uniform, no stopping"]
    assert (baseline.sampler.name, baseline.stopping.name, baseline.workers) == ("random", "none", 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs=a,b"], r"runs=a,b: no part of a strategy, so it has one value; a list is written \[a,b\]"),
        (["runs=[x]", "seeds=0"], "seeds: 0 is too few"),
        (["runs=[nowhere]"], "nowhere: no record.jsonl here"),
        (["runs=[]"], "runs: empty"),
        (["runs=[x]", "top_share=2"], "top_share: 2 is not a share"),
    ],
)
def test_bad_words_are_refused_in_one_line(words, said):
    with pytest.raises(InputError, match=said):
        main(words)


def test_samplers_that_replays_treat_as_uniform_are():
    assert hasattr(make_sampler(RandomSettings(), 0), "rank")

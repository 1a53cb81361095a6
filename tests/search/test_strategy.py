import json
from dataclasses import replace

import pytest

from analysis.findings import refusals
from search.runs.record import MemoryRecord, Record, read_history
from search.samplers.grid import GridSampler
from search.stopping.none import NoStopping
from search.strategy import Report
from search.toy import search_in
from space.architecture import Architecture
from space.budget import Budget, smallest_of
from space.prices.macs import price
from space.shared.plain import InputError
from tests.search.worlds import drive, make_search, md_space, quality


def decisions(folder):
    """What was decided, in order, without the times."""
    told = []
    for line in (folder / "record.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] in ("proposed", "rejected", "rung", "ended"):
            event.pop("time")
            told.append(event)
    return told


def test_every_trial_fits_the_budget_and_every_network_is_tried_once(tmp_path):
    search = make_search(tmp_path, trials=40, budget=Budget(280, 156))
    drive(search)
    trials = search.history.trials
    assert len(trials) == 40 and {trial.state for trial in trials} == {"complete"}
    assert all(not Budget(280, 156).excess(price(trial.architecture)) for trial in trials)
    assert len({trial.architecture.id for trial in trials}) == 40
    assert search.history.rejections and {r.kind for r in search.history.rejections} <= {
        "budget",
        "duplicate",
    }


def test_a_rejected_proposal_is_in_the_ledger_with_its_price_and_never_a_trial(tmp_path):
    search = make_search(tmp_path, trials=10, budget=Budget(200, 120))
    drive(search)
    tried = {trial.architecture.id for trial in search.history.trials}
    for rejection in search.history.rejections:
        assert rejection.kind == "budget" and rejection.architecture_id not in tried
        assert rejection.parameters > 200e6 or rejection.gmacs > 120
        assert "> 200" in rejection.reason or "> 120" in rejection.reason


def test_a_budget_that_hardly_anything_fits_is_met_by_repair(tmp_path):
    budget = Budget(66, 39)  # the smallest architecture counts 63.3 M and 37.2 GMACs
    search = make_search(tmp_path, trials=3, budget=budget)
    drive(search)
    assert len(search.history.trials) == 3
    assert all(not budget.excess(price(trial.architecture)) for trial in search.history.trials)


@pytest.mark.parametrize(
    ("budget", "unit"),
    [
        (Budget(gmacs_without_attention_products=120), "GMACs without attention products"),
        (Budget(weights_mib=250, precision="int8"), "MiB of weights in int8"),
        (Budget(peak_activations_mib=40), "MiB of activations in fp16"),
    ],
)
def test_every_bound_holds_in_a_search_and_refusals_name_it(budget, unit, tmp_path):
    search = make_search(tmp_path, trials=12, budget=budget)
    drive(search)
    assert len(search.history.trials) == 12
    assert all(not budget.excess(trial.architecture) for trial in search.history.trials)
    refused = [r for r in search.history.rejections if r.kind == "budget"]
    assert refused and all(f" {unit} > " in rejection.reason for rejection in refused)
    assert refusals(search.history)[f"over budget in {unit}"] == len(refused)


def test_a_peak_that_hardly_anything_holds_is_met_by_repair(tmp_path):
    space = md_space()
    least = Budget(peak_activations_mib=1)
    peak = least.amounts(smallest_of(space, least, "peak_activations_mib"))["peak_activations_mib"]
    budget = Budget(peak_activations_mib=1.001 * peak)
    search = make_search(tmp_path, trials=2, budget=budget)
    drive(search)
    assert len(search.history.trials) == 2
    assert all(not budget.excess(trial.architecture) for trial in search.history.trials)


def test_a_space_smaller_than_the_trials_asked_for_is_exhausted_without_an_error(tmp_path):
    space = md_space()
    levels = {
        key: replace(ranges, **{name: values[:1] for name, values in vars(ranges).items()})
        for key, ranges in space.levels.items()
    }
    levels["level_3"] = replace(levels["level_3"], channels=(768, 832, 896))
    tiny = replace(
        space,
        levels=levels,
        separable_expansion=(4,),
        feed_forward_ratio=(3,),
        shared_key_value=(True,),
        activation=("swish",),
        attention=("softmax",),
    )
    search = make_search(tmp_path, trials=10, space=tiny)
    drive(search)
    assert search.exhausted and search.finished
    assert {trial.architecture.levels[-1].channels for trial in search.history.trials} == {768, 832, 896}


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
@pytest.mark.parametrize("killed_after", [1, 4, 11, 20])
def test_a_search_killed_and_resumed_decides_what_an_uninterrupted_one_does(tmp_path, sampler, killed_after):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    drive(make_search(whole, trials=9, sampler=sampler, stopping="paper"))
    first = make_search(halves, trials=9, sampler=sampler, stopping="paper")
    drive(first, most_rungs=killed_after)
    first.record.close()
    resumed = make_search(halves, trials=9, sampler=sampler, stopping="paper")
    drive(resumed)
    assert decisions(halves) == decisions(whole)
    assert read_history(halves).trials == pytest.approx(resumed.history.trials)


def test_a_search_killed_while_it_proposes_holds_no_refusal_twice(tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    tight = {"trials": 2, "budget": Budget(150, 90)}
    drive(make_search(whole, **tight))
    first = make_search(halves, **tight)

    def die(event, history):
        if len(history.rejections) == 3:
            raise KeyboardInterrupt

    first.record.listeners.append(die)
    with pytest.raises(KeyboardInterrupt):
        drive(first)
    first.record.close()
    drive(make_search(halves, **tight))
    assert decisions(halves) == decisions(whole)


def test_a_rung_reported_again_after_an_interruption_is_not_recorded_twice(tmp_path):
    search = make_search(tmp_path, trials=1)
    job = search.propose()
    report = Report(100, {"fid_embedded_clip": 50.0, "clip_embedded": 0.2}, {"training": 1.0})
    assert search.judge(job.key, report) == search.judge(job.key, report)
    assert len(search.history.by_key[job.key].rungs) == 1


def test_interrupted_trials_come_back_under_their_own_keys(tmp_path):
    first = make_search(tmp_path, trials=4)
    jobs = [first.propose(), first.propose()]
    first.record.close()
    resumed = make_search(tmp_path, trials=4)
    assert [resumed.propose(), resumed.propose()] == jobs
    assert resumed.propose().key == "2"


def test_a_failed_trial_counts_and_the_search_goes_on(tmp_path):
    search = make_search(tmp_path, trials=3, sampler="tpe")
    job = search.propose()
    search.take_result(job.key, "failed", "diverged: loss is NaN at step 7")
    drive(search)
    states = [trial.state for trial in search.history.trials]
    assert states == ["failed", "complete", "complete"] and search.finished
    assert search.history.trials[0].reason == "diverged: loss is NaN at step 7"


def test_enqueued_architectures_come_first_and_inside_the_space_they_teach_the_sampler(tmp_path):
    md = Architecture.load("conf/arch/md.yaml")
    foreign = replace(md, head_width=32)
    search = make_search(tmp_path, trials=3, enqueued=[md, foreign])
    drive(search)
    first, second, third = search.history.trials
    assert (first.source, second.source, third.source) == ("enqueued", "enqueued", "sampler")
    assert first.architecture == md and first.params["level_3.channels"] == 1024
    assert second.architecture == foreign and second.params is None


def test_an_enqueued_architecture_over_budget_is_refused(tmp_path):
    md = Architecture.load("conf/arch/md.yaml")
    search = make_search(tmp_path, trials=1, enqueued=[md], budget=Budget(100, None))
    with pytest.raises(InputError, match=r"over budget: 387\.4 M parameters > 100"):
        search.propose()


def test_the_sampler_finds_better_networks_than_chance_in_a_world_with_a_plain_optimum(tmp_path):
    def mean_quality(sampler: str, seed: int) -> float:
        folder = tmp_path / f"{sampler}{seed}"
        folder.mkdir()
        search = make_search(folder, trials=24, sampler=sampler, seed=seed)
        drive(search)
        return sum(quality(trial.architecture) for trial in search.history.trials[12:]) / 12

    gain = [mean_quality("tpe", seed) - mean_quality("random", seed) for seed in range(4)]
    assert sum(gain) / 4 > 0.1


def test_two_drivers_on_one_folder_are_refused(tmp_path):
    search = make_search(tmp_path)
    with pytest.raises(InputError, match="another search is writing"):
        Record(tmp_path)
    search.record.close()
    Record(tmp_path).close()


def test_a_torn_last_line_never_happened(tmp_path):
    search = make_search(tmp_path, trials=2)
    drive(search)
    search.record.close()
    path = tmp_path / "record.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    record = Record(tmp_path)
    assert path.read_bytes() == whole[: whole[:-1].rfind(b"\n") + 1]
    assert record.history.trials[-1].state == "running"
    record.close()


def test_a_line_in_the_middle_that_is_no_event_is_named(tmp_path):
    (tmp_path / "record.jsonl").write_text('{"event":"session","time":1}\nnonsense\n{"event":"x","time":2}\n')
    with pytest.raises(InputError, match="line 2 is not an event"):
        Record(tmp_path)


def test_a_grid_whose_trials_fail_refuses_each_network_once():
    search = search_in(MemoryRecord(lambda: 0.0), GridSampler(0, 20_000), NoStopping(), trials=12)
    while (job := search.propose()) is not None:
        search.take_result(job.key, "failed", "a bug")
    refused = [rejection.architecture_id for rejection in search.history.rejections]
    assert len(search.history.trials) == 12 and len(refused) == len(set(refused)) > 5

"""Plans: what must hold whatever is stated, and the command."""

import math
from dataclasses import replace
from statistics import correlation, fmean, stdev

import pytest
import yaml

from analysis.simulation.planning import Searching, World, plan
from analysis.simulation.stated import StatedCurves, StatedRung
from mdsearch.commands.simulate import main
from search.backends.virtual import Conditions
from search.objectives import fid_and_clip
from search.samplers.random import RandomSettings
from search.stopping.factory import StoppingSettings
from search.strategy import Job
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain
from tests.analysis.replay.recordings import write_run
from tests.search.histories import MD
from tests.search.worlds import CONF, MD_BUDGET, md_space, preset

HOUR = 3600.0


def stated():
    plain = yaml.safe_load((CONF / "curves" / "paper_scale.yaml").read_text())
    curves = from_plain(StatedCurves, plain)
    assert isinstance(curves, StatedCurves)
    return curves


def world(hours=4.0):
    curves, objectives = stated(), fid_and_clip("fid", "clip")
    return World(
        objectives,
        curves.steps,
        curves.noise,
        curves.start_scores(objectives),
        lambda job: curves.run(job, objectives, hours * HOUR, 0.0),
        lambda architecture: curves.quality(architecture.id),
    )


def searching(trials, stopping="paper"):
    proxy = preset("proxy", "embedded", Proxy)
    rule = preset("stopping", stopping, StoppingSettings)
    return Searching(md_space(), MD_BUDGET, proxy, RandomSettings(), rule, trials)


def jobs(count, seed=0):
    """Networks that differ in nothing that counts but their ids."""
    steps = stated().steps
    networks = [replace(MD, context_length=77 + index) for index in range(count)]
    return [Job(str(i), "search", "", network, seed, steps) for i, network in enumerate(networks)]


def test_curves_have_the_stated_spread_and_correlation():
    curves, objectives = stated(), fid_and_clip("fid", "clip")
    asked = jobs(250)
    found = [list(curves.run(job, objectives, HOUR, 60.0)) for job in asked]
    qualities = [curves.quality(job.architecture.id) for job in asked]
    for place, rung in enumerate(curves.rungs):
        logs = [math.log(reports[place].scores["fid"] / rung.fid) for reports in found]
        expected = math.hypot(rung.fid_spread, rung.fid_noise)
        assert abs(fmean(logs)) < 4 * expected / 250**0.5
        assert stdev(logs) == pytest.approx(expected, rel=0.16)
        wanted = rung.correlation * rung.fid_spread / expected
        assert correlation(logs, qualities) == pytest.approx(wanted, abs=0.15)
    assert sum(report.seconds["training"] for report in found[0]) == pytest.approx(HOUR)


def test_a_networks_curve_is_the_same_for_every_strategy_and_its_noise_is_the_seeds():
    curves, objectives = stated(), fid_and_clip("fid", "clip")
    one, again = ([r.scores for r in curves.run(job, objectives, 1, 0)] for job in (jobs(1)[0], jobs(1)[0]))
    other = [r.scores for r in curves.run(jobs(1, seed=1)[0], objectives, 1, 0)]
    assert one == again and one != other
    last = curves.rungs[-1]
    assert abs(math.log(one[-1]["fid"] / other[-1]["fid"])) < 6 * last.fid_noise


def test_without_stopping_or_trouble_a_plan_is_plain_arithmetic():
    found = plan(world(), searching(16, "none"), [Conditions(workers=8)])
    assert found.wall_hours == pytest.approx(2 * 4.0) == found.wall_hours_without_stopping
    assert found.worker_hours == pytest.approx(16 * 4.0)
    assert (found.saved, found.complete, found.stopped, found.failed) == (0, 16, 0, 0)
    assert found.training == pytest.approx(1) and found.idle == pytest.approx(0)


def test_stopping_saves_time_and_what_it_stops_wrongly_is_counted():
    found = plan(world(), searching(80), [Conditions(workers=8, seed=seed) for seed in (0, 1)])
    assert found.saved > 0.3 and found.wall_hours < 0.8 * found.wall_hours_without_stopping
    assert found.complete + found.stopped + found.failed == 80
    assert 0 <= found.top_stopped <= 0.5
    assert found.training + found.wasted + found.waiting + found.idle == pytest.approx(1)


def test_the_driver_is_the_limit_where_its_stated_costs_say():
    """A trial of four hours takes 36 s of the driver: 400 workers would keep it busy."""
    conditions = Conditions(workers=20, propose_seconds=32.0, judge_seconds=1.0)
    found = plan(world(), searching(200, "none"), [conditions])
    assert found.driver_limit == pytest.approx(400, rel=0.05)


def test_the_command_prints_plans_and_plots_them(tmp_path, capsys):
    plot = tmp_path / "plans.png"
    assert main(["workers=[2,5]", "trials=12", f"out={plot}"]) == 0
    said = capsys.readouterr().out
    assert "12 candidates of 4 h on 32 accelerators" in said and "driver busy" in said
    assert plot.stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["workers=[]"], "workers: empty"),
        (["workers=[0]"], "workers: 0 is too few"),
        (["trials=0"], "trials: 0 is too few"),
        (["stragglers=2"], "stragglers: 2 is not a share"),
        (["workers=[2,0]"], "workers: 0 is too few"),
        (["out=plans"], "out: 'plans' ends in ''; allowed: .png, .svg, .pdf"),
        (["out=nowhere/plans.png"], "out: there is no folder 'nowhere'"),
        (["workers=[2]", "trials=3", "budget.gmacs=1"], "budget: .*nothing to plan"),
        (
            ["workers=[2]", "trials=3", "preemptions_per_day=9999", "failures_per_day=0"],
            "preemptions_per_day: too many: trial .* lost its worker 1,000 times",
        ),
        (["curves=nothing"], "curves: no preset 'nothing'"),
        (["runs=[nowhere]"], "nowhere: no record.jsonl here"),
    ],
)
def test_bad_words_are_refused_in_one_line(words, said):
    with pytest.raises(InputError, match=said):
        main(words)


def test_a_plan_in_which_every_trial_fails_is_still_a_plan():
    hopeless = Conditions(workers=2, failures_per_day=1e6, max_worker_deaths=0)
    found = plan(world(), searching(3), [hopeless])
    assert (found.failed, found.complete, found.saved, found.training) == (3, 0, 0, 0)


def test_rungs_must_rise():
    rung = StatedRung(10, 50.0, 0.2, 0.2, 0.02, 0.9, 0.03, 0.004)
    with pytest.raises(InputError, match=r"steps \[10, 10\] do not rise"):
        StatedCurves((rung, rung), 300.0, 0.0)


def test_a_plan_from_recorded_curves_names_its_surrogate(tmp_path, capsys):
    run = write_run(tmp_path / "a", "trials=12", "stopping=none", "sampler=sobol", noise=0.02)
    words = [f"runs=[{run}]", "workers=[4]", "trials=20", "hours=0.5", "stopping=asha"]
    quiet = ["failures_per_day=0", "preemptions_per_day=0", "stragglers=0"]
    assert main([*words, *quiet]) == 0
    said = capsys.readouterr().out
    assert "surrogate: Gaussian processes over 12 recorded architectures" in " ".join(said.split())
    assert "20 candidates of 0.5 h" in said and "asha" in said

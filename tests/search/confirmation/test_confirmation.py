"""The race as a strategy: what it starts, what it goes on with, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.confirmation.confirmation import Confirmation, ConfirmationSettings
from search.formats import label
from search.objectives import FID_AND_CLIP
from search.runs.record import Record
from search.statistics.pareto import Point
from search.statistics.verdicts import verdicts
from search.strategies.phases import Phases
from space.architecture import Architecture
from space.proxy import Proxy
from space.shared.plain import InputError
from tests.search.worlds import NOISE, RUNGS, drive, make_search, preset, scores_at

MD = Architecture.load("conf/arch/md.yaml")
MD_LITE = Architecture.load("conf/arch/md_lite.yaml")
REFERENCES = {"md": MD, "md_lite": MD_LITE}
WORSE = replace(MD, levels=(*MD.levels[:2], replace(MD.levels[2], channels=768, cross_attention=False)))


def confirmation(record: Record, **settings: object) -> Confirmation:
    chosen = ConfirmationSettings(**({"best": 1, "seeds": 2, "minutes": None} | settings))
    references = {name: REFERENCES[name] for name in chosen.references}
    return Confirmation(
        record,
        chosen,
        references,
        objectives=FID_AND_CLIP,
        noise=NOISE,
        proxy=preset("proxy", "embedded", Proxy),
        rungs=RUNGS,
        seed=0,
    )


def searched(folder, **changes):
    search = make_search(folder, **({"trials": 6} | changes))
    drive(search)
    return search


def words(record: Record, name: str) -> dict[str, str]:
    found = verdicts(record.history, FID_AND_CLIP, NOISE, list(REFERENCES))
    return {verdict.against: verdict.word for verdict in found if verdict.name == name}


def alike(architecture, step):
    """A world in which every network is as good as the next."""
    return Point.of(50.0, 0.5)


def test_winner_and_references_are_trained_with_the_same_new_seeds(tmp_path):
    search = make_search(tmp_path, trials=6)
    drive(search, alike)
    started = []
    drive(confirmation(search.record), alike, started=started.append)
    winner = started[0].name
    assert {(job.name, job.seed) for job in started} == {
        (name, seed) for seed in (1000, 1001) for name in (winner, "md", "md_lite")
    }
    assert [job.seed for job in started[:3]] == [1000] * 3  # first all with the first seed
    assert all(job.seed != search.seed for job in started)
    assert all(trial.why for trial in search.history.confirmations)


def test_runs_of_the_searchs_length_are_evaluated_at_its_rungs(tmp_path):
    search = searched(tmp_path)
    started = []
    drive(confirmation(search.record, steps=RUNGS[-1]), started=started.append)
    assert {job.rungs for job in started} == {RUNGS}
    started.clear()
    drive(confirmation(search.record, steps=800), started=started.append)
    assert {job.rungs for job in started} == {(800,)}  # its schedule is another


def test_references_are_never_told_to_the_sampler(tmp_path):
    search = searched(tmp_path)
    before = list(search.history.trials)
    drive(confirmation(search.record))
    assert search.history.trials == before and search.history.confirmations


def test_a_planted_worse_network_is_called_worse_and_an_equal_one_undecided(tmp_path):
    worse, equal = tmp_path / "worse", tmp_path / "equal"
    worse.mkdir(), equal.mkdir()
    planted = searched(worse, trials=1, enqueued=[WORSE])
    drive(confirmation(planted.record))
    assert words(planted.record, "trial 0") == {"md": "worse", "md_lite": "worse"}
    duplicate = searched(equal, trials=1, enqueued=[MD])
    drive(confirmation(duplicate.record))
    assert words(duplicate.record, "trial 0")["md"] == "undecided"


def test_a_planted_better_network_is_called_better(tmp_path):
    def flattering(architecture, step):
        point = scores_at(architecture, step)
        return (
            Point.of(point.fid * 0.5, min(1.0, point.clip + 0.3))
            if architecture == WORSE
            else Point.of(60.0, 0.3)
        )

    search = make_search(tmp_path, trials=1, enqueued=[WORSE])
    drive(search, flattering)
    drive(confirmation(search.record), flattering)
    assert words(search.record, "trial 0") == {"md": "better", "md_lite": "better"}


def test_finalists_are_within_the_noise_of_the_best(tmp_path):
    """Two networks alike, a third far behind: best=3 lets only two race."""
    close = {MD.id: Point.of(20.0, 0.8), MD_LITE.id: Point.of(20.5, 0.8), WORSE.id: Point.of(90.0, 0.1)}
    search = make_search(tmp_path, trials=3, enqueued=[MD, MD_LITE, WORSE])
    drive(search, lambda architecture, step: close[architecture.id])
    phase = confirmation(search.record, best=3, references=())
    assert set(phase.race.finalists) == {"trial 0", "trial 1"}


def test_a_clear_race_ends_before_its_seeds_do(tmp_path):
    search = searched(tmp_path, trials=1, enqueued=[WORSE])
    phase = confirmation(search.record, seeds=50)
    drive(phase)
    assert len(search.history.confirmations) < 20 and phase.finished and not phase.undecided


def test_runs_start_only_if_they_should_end_in_time(tmp_path):
    """A rung took a second, so a run of three rungs should take three."""
    search = searched(tmp_path)
    phase = confirmation(search.record, minutes=1e-6)
    assert phase.expected_seconds(RUNGS[-1]) == 3.0
    assert phase.propose() is None and phase.finished and len(phase.undecided) == 2


def test_minutes_are_those_of_the_records_clock(tmp_path):
    search = make_search(tmp_path)
    drive(search, alike)
    now = [0.0]
    search.record.clock = lambda: now[0]
    phase = confirmation(search.record, minutes=1.0)
    assert phase.propose() is not None
    now[0] = 57.5  # 3 seconds more do not fit
    assert phase.propose() is None and not phase.finished  # one is running
    now[0] = 0.0
    assert phase.propose() is None  # what is over stays over


def test_a_number_of_runs_in_all_is_kept(tmp_path):
    search = make_search(tmp_path)
    drive(search, alike)
    for _ in range(2):
        drive(confirmation(search.record, runs=4), alike)
        assert len(search.history.confirmations) == 4


def test_more_seeds_later_repeat_nothing(tmp_path):
    search = make_search(tmp_path)
    drive(search, alike)
    drive(confirmation(search.record, seeds=1), alike)
    drive(confirmation(search.record, seeds=3), alike)
    names = [(trial.name, trial.seed) for trial in search.history.confirmations]
    assert len(names) == len(set(names)) == 9


@pytest.mark.parametrize("most_rungs", range(1, 18, 4))
def test_a_race_killed_anywhere_goes_on_as_it_would_have(tmp_path, most_rungs):
    def runs(folder: Path, *stops: int | None) -> list[tuple[str, str]]:
        folder.mkdir()
        search = make_search(folder)
        drive(search, alike)
        for stop in stops:
            drive(confirmation(search.record, best=2), alike, most_rungs=stop)
        search.record.close()
        return [(trial.key, trial.why) for trial in search.history.confirmations]

    killed = runs(tmp_path / "killed", most_rungs, None)
    assert killed == runs(tmp_path / "whole", None) and len(killed) == 8


def test_an_interrupted_run_is_gone_on_with_first(tmp_path):
    search = searched(tmp_path)
    left = confirmation(search.record).propose()
    again = confirmation(search.record)
    assert again.propose() == left
    again.take_result(left.key, "complete")
    drive(again)
    assert search.history.confirmations[0].key == left.key
    assert {trial.state for trial in search.history.confirmations} == {"complete"}


def test_an_interrupted_run_that_no_longer_fits_is_named(tmp_path):
    search = searched(tmp_path)
    first = confirmation(search.record).propose()
    again = confirmation(search.record, minutes=0.0)
    assert again.propose() is None and again.finished
    assert f"the interrupted run of {label(first.name)} with seed {first.seed}" in again.undecided


def test_with_several_workers_nothing_runs_twice_and_nobody_waits_for_a_round(tmp_path):
    search = make_search(tmp_path)
    drive(search, alike)
    phase = confirmation(search.record, seeds=2)
    jobs = [phase.propose() for _ in range(6)]
    assert None not in jobs and len({job.key for job in jobs}) == 6
    assert phase.propose() is None and not phase.finished
    for job in jobs:
        phase.take_result(job.key, "failed", "out of memory")
    assert phase.finished


def test_a_network_that_fails_again_gets_no_more_seeds(tmp_path):
    search = make_search(tmp_path)
    drive(search, alike)
    phase = confirmation(search.record, references=("md",), seeds=9)
    while (job := phase.propose()) is not None:
        phase.take_result(job.key, "failed", "diverged")
    assert 3 <= len(search.history.confirmations) <= 4


def test_wrong_stops_are_counted_by_rerunning_stopped_trials_with_the_searchs_own_seed(tmp_path):
    search = searched(tmp_path, trials=12, stopping="paper")
    stopped = [trial.name for trial in search.history.trials if trial.state == "halted"]
    started = []
    drive(confirmation(search.record, best=0, references=(), stopped=99), started=started.append)
    assert [job.name for job in started] == stopped and {job.seed for job in started} == {0}


def test_wrong_stops_are_counted_at_the_searchs_length_however_long_the_confirmation(tmp_path):
    search = searched(tmp_path, trials=12, stopping="paper")
    started = []
    drive(confirmation(search.record, seeds=1, steps=800, stopped=1), started=started.append)
    assert [job.rungs for job in started] == [RUNGS, (800,), (800,), (800,)]


def test_reruns_that_did_not_fit_are_said(tmp_path):
    search = searched(tmp_path, trials=12, stopping="paper")
    stopped = [trial.name for trial in search.history.trials if trial.state == "halted"]
    phase = confirmation(search.record, best=0, references=(), stopped=99, minutes=1e-6)
    assert phase.propose() is None
    assert phase.undecided == [f"whether {name} was stopped wrongly" for name in stopped] != []


def test_phases_hand_over_without_a_gap(tmp_path):
    search = make_search(tmp_path, trials=3)
    phases = Phases(search, lambda: confirmation(search.record, seeds=1))
    drive(phases)
    assert phases.finished and len(search.history.trials) == 3 and len(search.history.confirmations) == 3


def test_without_any_complete_trial_there_is_nothing_to_confirm(tmp_path):
    search = make_search(tmp_path, trials=1)
    search.take_result(search.propose().key, "failed", "diverged")
    phase = confirmation(search.record)
    assert phase.propose() is None and phase.finished


@pytest.mark.parametrize("field", ["best", "seeds", "stopped", "minutes", "runs"])
def test_what_cannot_be_is_refused(field):
    with pytest.raises(InputError, match=f"{field}: -1 is negative"):
        ConfirmationSettings(**{field: -1})

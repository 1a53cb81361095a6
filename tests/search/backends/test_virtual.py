"""The virtual clock: totals worked out by hand, and what must hold whatever the cluster does."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.backends.virtual import Conditions, Usage, VirtualClock, run_virtual
from search.runs.record import MemoryRecord
from search.strategy import Report
from space.shared.plain import InputError
from tests.search.worlds import RUNGS, START, make_search, scores_at

A_RUNG = 100.0  # seconds


def steady(job):
    """Every rung takes as long, whatever the network."""
    for step in job.rungs:
        point = scores_at(job.architecture, step)
        yield Report(
            step, {"fid_embedded_clip": point.fid, "clip_embedded": point.clip}, {"training": A_RUNG}
        )


def simulate(conditions, run=steady, **changes):
    clock = VirtualClock()
    record = MemoryRecord(clock)
    record.append("start", scores=START, protocol={})
    search = make_search(None, record=record, **changes)
    usage = run_virtual(search, run, conditions, clock)
    return search, usage


def test_one_worker_takes_the_sum_of_what_its_trials_take():
    search, usage = simulate(Conditions(), trials=4)
    assert usage.wall == usage.training == 4 * len(RUNGS) * A_RUNG
    assert usage.idle(1) == usage.waiting == usage.wasted == 0
    assert [trial.ended for trial in search.history.trials] == [300.0, 600.0, 900.0, 1200.0]


def test_three_workers_share_seven_trials_in_three_rounds():
    search, usage = simulate(Conditions(workers=3), trials=7)
    assert usage.wall == 3 * 300 and usage.training == 7 * 300
    assert usage.idle(3) == 2 * 300  # the last round has one trial for three workers
    assert [trial.started for trial in search.history.trials] == [0, 0, 0, 300, 300, 300, 600]


def test_stragglers_are_as_many_and_as_slow_as_stated():
    _, usage = simulate(Conditions(workers=2, stragglers=0.5, slowdown=3.0), trials=2)
    assert usage.wall == 900 and usage.training == 300 + 900


def test_a_driver_that_takes_longer_than_the_workers_is_the_limit():
    conditions = Conditions(workers=50, propose_seconds=60.0)
    _, usage = simulate(conditions, trials=20)
    assert usage.driver == 20 * 60
    assert usage.wall == 20 * 60 + 300  # one proposal after the other, then the last trial's three rungs
    _, judged = simulate(Conditions(workers=1, judge_seconds=5.0, start_seconds=7.0), trials=2)
    assert judged.wall == 2 * (7 + 3 * (100 + 5)) and judged.waiting == 2 * (7 + 15)


def test_a_failing_job_is_recorded_and_the_search_goes_on():
    def broken(job):
        yield from list(steady(job))[:1]
        raise MemoryError

    search, usage = simulate(Conditions(workers=2), broken, trials=3)
    assert [(trial.state, trial.reason) for trial in search.history.trials] == [
        ("failed", "out of memory")
    ] * 3
    assert usage.training == 3 * A_RUNG


def test_deaths_count_on_the_way_to_one_rung_alone():
    """One a hundred seconds, which is what a rung takes: a third of all jobs see three and more."""
    conditions = Conditions(workers=4, failures_per_day=864, max_worker_deaths=20, seed=1)
    search, usage = simulate(conditions, trials=40)
    assert usage.losses > 100 and {trial.state for trial in search.history.trials} == {"complete"}


def test_workers_that_die_again_and_again_fail_their_job():
    conditions = Conditions(
        failures_per_day=86400, max_worker_deaths=2
    )  # one a second; a rung takes a hundred
    search, usage = simulate(conditions, trials=2)
    assert [trial.reason for trial in search.history.trials] == ["its worker died 3 times"] * 2
    assert usage.losses == 6 and usage.training == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    workers=st.integers(1, 40),
    failures=st.floats(0, 200),
    preemptions=st.floats(0, 200),
    stragglers=st.floats(0, 1),
    driver=st.floats(0, 30),
    trials=st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_whatever_happens_all_trials_end_and_every_second_is_accounted_for(
    workers, failures, preemptions, stragglers, driver, trials, seed
):
    conditions = Conditions(
        workers=workers,
        failures_per_day=failures,
        preemptions_per_day=preemptions,
        max_worker_deaths=1000,
        stragglers=stragglers,
        propose_seconds=driver,
        judge_seconds=driver / 10,
        seed=seed,
    )
    search, usage = simulate(conditions, trials=trials)
    history = search.history
    assert len(history.trials) == trials and {trial.state for trial in history.trials} == {"complete"}
    assert all([rung.step for rung in trial.rungs] == list(RUNGS) for trial in history.trials)
    assert usage.training >= trials * 300 - 1e-6
    busy = usage.training + usage.wasted + usage.waiting
    assert 0 <= busy <= workers * usage.wall * (1 + 1e-9) + workers * driver  # parked workers asked once more
    again, same = simulate(conditions, trials=trials)
    assert same == usage and [t.ended for t in again.history.trials] == [t.ended for t in history.trials]


def test_lost_work_is_repeated_from_the_last_rung_and_no_rung_is_reported_twice():
    search, usage = simulate(
        Conditions(workers=4, failures_per_day=300, max_worker_deaths=99, seed=3), trials=12
    )
    assert usage.losses > 3 and usage.wasted > 0
    assert usage.training == 12 * 300  # what counted; what was lost counts as wasted
    assert all([rung.step for rung in trial.rungs] == list(RUNGS) for trial in search.history.trials)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("workers", 0, "1 or more"),
        ("stragglers", 1.5, "0 to 1"),
        ("slowdown", 0.5, "1 or more"),
        ("judge_seconds", -1.0, "0 or more"),
    ],
)
def test_impossible_clusters_are_refused_by_name(field, value, allowed):
    with pytest.raises(InputError, match=f"{field}: .*allowed: {allowed}"):
        Conditions(**{field: value})


def test_idle_time_is_never_negative():
    assert Usage(wall=1.0, training=5.0).idle(2) == 0.0

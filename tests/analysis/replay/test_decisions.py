"""A run's decisions are checked against its record, and one that its settings would not take is named."""

import json
from unittest import mock

import pytest

from analysis.replay.recheck import recheck
from conf.compose import compose
from search.preparation import search_strategy
from search.runs.header import noise_of_rule
from search.runs.record import RECORD_NAME, Record
from search.settings import settings_from_plain
from search.strategy import Report
from space.shared.plain import InputError
from tests.analysis.replay.recordings import WORDS, write_run
from tests.search.worlds import RUNGS, scores_at


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

"""A search in a tracker: parent and nested runs, each value once, whatever was interrupted or away."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.tracking import TrackedSearch
from search.runs.files import BEST_NAME, REPORT_NAME, job_folder
from search.runs.record import read_history
from space.shared.plain import to_plain
from tests.search.histories import MD, MD_LITE, SPACE, confirm, end, open_run, propose, score
from tests.training.logs import fake
from training.logs.event_files import EventLog
from training.logs.observers import Evaluated
from training.logs.trackers import TRACKERS


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> fake.Server:
    server = fake.Server()
    monkeypatch.setattr(fake, "SERVER", server)
    monkeypatch.setitem(TRACKERS, "fake", f"{fake.__name__}:Fake")
    return server


def bring(tracked: TrackedSearch, folder: Path, *, running: bool = True) -> None:
    tracked(folder, read_history(folder), running=running)


def train(folder: Path, key: str, steps: range, begin: int = 0) -> None:
    log = EventLog(job_folder(folder, key))
    log.begin(begin)
    for step in steps:
        log.part({step: {"loss": 1.0}})
    log.part({}, Evaluated(steps[-1], {"ema_gap": 0.5, "clip_embedded": 0.1234567}))


def test_trials_are_nested_runs_with_choices_losses_and_the_scores_of_the_record(
    server: fake.Server, tmp_path: Path
) -> None:
    record, tracked = open_run(tmp_path, space=to_plain(SPACE)), TrackedSearch("fake")
    first = propose(record, MD)
    train(tmp_path, first, range(50, 101, 50))
    score(record, first, 100, 60.0, 0.123456789)
    train(tmp_path, first, range(150, 201, 50), begin=100)  # its rung is not recorded yet
    bring(tracked, tmp_path)
    search, trial = server.named("synthetic"), server.named("trial 0")
    assert (search.what.job, trial.what.job) == ("search", "trial")
    assert trial.what.within == (search.id, "synthetic") and search.what.within is None
    assert search.what.params["protocol"]["id"] == "embedded-v1" and "overrides" not in search.what.params
    params = trial.what.params
    assert (params["architecture"], params["choices"]["level_3.channels"]) == (MD.id, 1024)
    assert trial.values("loss") == [(50, 1.0), (100, 1.0)] and trial.values("ema_gap") == [(100, 0.5)]
    assert trial.values("clip_embedded") == [(100, 0.123456789)]  # to the last digit
    score(record, first, 200, 30.0, 0.3, "halt")
    end(record, first, "halted", "lags")
    second = propose(record, MD_LITE)
    score(record, second, 400, 20.0, 0.4, "end")
    end(record, second)
    confirm(record, "trial 1", MD_LITE, [(21.0, 0.41)])
    for name in (BEST_NAME, REPORT_NAME):
        (tmp_path / name).write_text("made")
    bring(tracked, tmp_path, running=False)
    assert [step for step, _ in trial.values("loss")] == [50, 100, 150, 200]
    assert (trial.ended, trial.reason) == ("stopped", "lags")
    assert server.named("trial 1").ended == "finished"
    assert server.named("confirmation of trial 1, seed 1000").what.job == "confirm"
    assert search.values("best/clip_embedded") == [(2, 0.4)] and search.values("complete") == [(2, 1)]
    assert (search.ended, search.files) == ("finished", [REPORT_NAME, BEST_NAME])


def test_a_resumed_search_goes_on_in_the_same_runs(server: fake.Server, tmp_path: Path) -> None:
    record = open_run(tmp_path)
    done, running = propose(record, MD), propose(record, MD_LITE)
    score(record, done, 400, 20.0, 0.4, "end")
    end(record, done)
    score(record, running, 100, 60.0, 0.1)
    bring(TrackedSearch("fake"), tmp_path, running=False)  # interrupted
    search, trial = server.named("synthetic"), server.named("trial 1")
    assert (search.ended, trial.ended, server.named("trial 0").ended) == ("stopped", "stopped", "finished")
    server.named("trial 0").ended = "untouched"
    score(record, running, 200, 50.0, 0.2)
    again = TrackedSearch("fake")
    bring(again, tmp_path)
    assert (search.ended, trial.ended, server.named("trial 0").ended) == ("", "", "untouched")
    assert trial.values("clip_embedded") == [(100, 0.1), (200, 0.2)] and len(server.runs) == 3


def test_a_server_that_is_away_is_said_once_and_given_all_of_it_later(
    server: fake.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("analysis.tracking.REST_SECONDS", 0.0)
    record, tracked = open_run(tmp_path), TrackedSearch("fake")
    key = propose(record, MD)
    score(record, key, 100, 60.0, 0.1)
    bring(tracked, tmp_path)
    server.away = True
    score(record, key, 200, 50.0, 0.2)
    bring(tracked, tmp_path)
    bring(tracked, tmp_path)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "fake: ConnectionError: no route" in told[0]
    server.away = False
    score(record, key, 400, 40.0, 0.3, "end")
    end(record, key)
    bring(tracked, tmp_path, running=False)
    trial = server.named("trial 0")
    assert trial.values("clip_embedded") == [(100, 0.1), (200, 0.2), (400, 0.3)]
    assert trial.ended == "finished" and len(server.runs) == 2

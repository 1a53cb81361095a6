"""Files made from the record that cannot be written: the search goes on, and they are made good later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.live import STANDARD
from analysis.study import sync_study
from search.runs.results import Results
from tests.search.test_strategy import decisions
from tests.search.worlds import drive, make_search


def results_of(folder: Path, said: Callable[[str], None]) -> tuple[Results, object]:
    search = make_search(folder, trials=6, stopping="paper", sampler="tpe")
    results = Results(folder, search.record, STANDARD, said)
    results.stop()  # the thread: here everything is written when the test says so
    search.record.listeners.append(results.event)
    return results, search


def test_curves_that_cannot_be_written_do_not_stop_the_search_and_are_written_later(
    whole: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    _, search = results_of(tmp_path, said.append)
    (tmp_path / "trials").write_text("a file where a folder should be")
    rungs = [0]

    def mend(event: dict[str, object], history: object) -> None:
        rungs[0] += event["event"] == "rung"
        if rungs[0] == 5 and (tmp_path / "trials").is_file():
            (tmp_path / "trials").unlink()

    search.record.listeners.append(mend)
    drive(search)
    assert len(said) == 1 and said[0].startswith("curves cannot be written: ")
    assert decisions(tmp_path) == decisions(whole)
    assert {path.parent.name for path in tmp_path.glob("trials/*/curve.jsonl")} == set("012345")
    curve = (tmp_path / "trials" / "0" / "curve.jsonl").read_text().splitlines()
    assert len(curve) == len(search.history.trials[0].rungs)


@pytest.fixture
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.study.SECONDS_TO_WAIT", 0.05)


def test_a_locked_study_is_left_out_and_made_good_later(tmp_path: Path, quick_locks: None) -> None:
    said: list[str] = []
    results, search = results_of(tmp_path, said.append)
    drive(search, most_rungs=4)
    results.write()
    study = tmp_path / "study.db"
    other = sqlite3.connect(study, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    drive(search)
    report = results.write()
    assert report is not None and "6 trials" in report.read_text()
    assert len(said) == 1 and said[0].startswith(f"{study}: ") and "database is locked; to make" in said[0]
    other.close()
    results.write()
    assert count_trials(study) == sum(trial.state != "running" for trial in search.history.trials) == 5


def test_a_broken_study_is_made_anew(tmp_path: Path) -> None:
    _, search = results_of(tmp_path, print)
    drive(search)
    (tmp_path / "study.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    sync_study(tmp_path, search.history, search.space, search.objectives)
    assert count_trials(tmp_path / "study.db") == 6


def count_trials(study: Path) -> int:
    connection = sqlite3.connect(study)
    (count,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    connection.close()
    return int(count)

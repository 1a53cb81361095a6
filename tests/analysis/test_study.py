"""The study beside the record: what Optuna reads of it, and how it grows."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from analysis.study import sync_study
from search.runs.header import objectives_of
from tests.search.histories import SPACE, write_history


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="synthetic", storage=f"sqlite:///{folder / 'study.db'}")


def test_optuna_reads_every_ended_trial_as_it_was(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=24, running=2, seed=1)
    objectives = objectives_of(history)
    sync_study(tmp_path, history, SPACE, objectives)
    study = study_of(tmp_path)
    assert study.metric_names == ["fid_embedded_clip", "clip_embedded"]
    words = {"complete": TrialState.COMPLETE, "halted": TrialState.PRUNED, "failed": TrialState.FAIL}
    frozen = study.get_trials()
    assert [trial.number for trial in frozen] == list(range(24))
    for stored, trial in zip(frozen, history.trials, strict=False):
        assert stored.state == words[trial.state]
        assert stored.params == trial.params
        assert stored.user_attrs["architecture"] == trial.architecture.id
        assert stored.user_attrs["reason"] == trial.reason
        assert stored.datetime_start == datetime.fromtimestamp(trial.started)
        if trial.state == "complete":
            assert stored.values == [trial.score("fid_embedded_clip"), trial.score("clip_embedded")]
        else:
            assert stored.values is None
        if trial.state == "halted":
            assert stored.user_attrs["clip_embedded"] == trial.score("clip_embedded")
    complete = [trial for trial in history.trials if trial.state == "complete"]
    assert {trial.user_attrs["trial"] for trial in study.best_trials} <= {t.number for t in complete}


@pytest.mark.parametrize("name", ["what?", "{a} [b]", "100%41#1", "größe & c"])
def test_the_study_lies_in_its_folder_whatever_that_is_called(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    history = write_history(folder, ended=2, failed=())
    path = sync_study(folder, history, SPACE, objectives_of(history))
    assert list(tmp_path.iterdir()) == [folder]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (2,)
    connection.close()


def test_another_program_may_write_to_the_study_between(tmp_path: Path) -> None:
    """Someone asks and tells by hand; ours are still added, once each."""
    history = write_history(tmp_path, ended=6, failed=())
    sync_study(tmp_path, history, SPACE, objectives_of(history))
    study = study_of(tmp_path)
    trial = study.ask()
    study.tell(trial, [1.0, 1.0])
    more = write_history(tmp_path / "more", ended=9, failed=())
    for _ in range(2):
        sync_study(tmp_path, more, SPACE, objectives_of(more))
    ours = [t.user_attrs["trial"] for t in study_of(tmp_path).get_trials() if "trial" in t.user_attrs]
    assert ours == list(range(9))


def test_a_study_that_another_program_holds_is_an_error_that_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.study.SECONDS_TO_WAIT", 0.1)
    history = write_history(tmp_path, ended=6, failed=())
    path = sync_study(tmp_path, history, SPACE, objectives_of(history))
    more = write_history(tmp_path / "more", ended=9, failed=())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match=r"study\.db: .*locked"):
        sync_study(tmp_path, more, SPACE, objectives_of(more))
    holder.execute("ROLLBACK")
    holder.close()
    sync_study(tmp_path, more, SPACE, objectives_of(more))
    assert len(study_of(tmp_path).trials) == 9


def test_a_thousand_trials_take_a_second_or_two_and_none_more_next_time(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=1000)
    objectives = objectives_of(history)
    for most in (5.0, 1.0):
        began = time.process_time()
        sync_study(tmp_path, history, SPACE, objectives)
        assert time.process_time() - began < most

"""What a command starts for a search, and only where something is left to do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import search.unets
from conf.compose import compose
from search.run import RunResult, execute
from search.runs.folder import begin_record
from search.runs.record import Record
from search.settings import settings_from_plain
from search.strategies.phases import Phases
from tests.search.worlds import drive, make_search

QUICK = ("recorded=false", "confirmation=none")


def gone_on_with(folder: Path, trials: int, monkeypatch: pytest.MonkeyPatch) -> RunResult:
    """A run of the made-up world, gone on with by workers of Ray."""
    settings = settings_from_plain(compose("search", [*QUICK, f"resume={folder}", f"trials={trials}"]))
    assert settings.backend == "ray"
    evaluator = SimpleNamespace(protocol={}, protocol_id="made up")
    monkeypatch.setattr(search.unets, "check", lambda settings: SimpleNamespace(digest=""))
    monkeypatch.setattr(search.unets, "evaluator_of", lambda *given: evaluator)
    monkeypatch.setattr(
        search.unets,
        "phases_of",
        lambda settings, confirmed_by, record, scores: Phases(
            make_search(folder, record=record, trials=trials)
        ),
    )
    return execute(settings)


def test_where_nothing_is_left_to_do_ray_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, record = settings_from_plain(compose("search", [*QUICK, "trials=1"])), Record(tmp_path)
    begin_record(settings, tmp_path, record, {})
    drive(make_search(tmp_path, record=record, trials=1))
    record.close()
    monkeypatch.setitem(sys.modules, "search.backends.ray_cluster", None)  # an import fails
    assert not gone_on_with(tmp_path, 1, monkeypatch).interrupted
    with pytest.raises(ImportError, match="ray_cluster"):
        gone_on_with(tmp_path, 2, monkeypatch)

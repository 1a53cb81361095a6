"""What a command starts for a search, and only where something is left to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conf.compose import compose
from search.backends.connection import RayConnection
from search.display import PlainDisplay
from search.run import _drive
from search.settings import settings_from_plain
from search.strategies.phases import Phases
from tests.search.worlds import drive, make_search


def test_where_nothing_is_left_to_do_ray_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(tmp_path, trials=1)
    drive(search)
    done = Phases(search, lambda: make_search(tmp_path, record=search.record, trials=1))
    monkeypatch.setitem(sys.modules, "search.backends.ray_cluster", None)  # an import fails
    settings, display = settings_from_plain(compose("search", [])), PlainDisplay(search.objectives)
    ray = RayConnection()
    _drive(done, settings, None, search.record, display, ray)  # type: ignore[arg-type]
    more = Phases(search, lambda: make_search(tmp_path, record=search.record, trials=2))
    with pytest.raises(ImportError):
        _drive(more, settings, None, search.record, display, ray)  # type: ignore[arg-type]

"""The search that those whose storage fails must end as."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.test_strategy import decisions
from tests.search.worlds import drive, make_search


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of six trials, with refusals and stopped trials, that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    search = make_search(folder, trials=6, stopping="paper", sampler="tpe")
    drive(search)
    search.record.close()
    assert {event["event"] for event in decisions(folder)} == {"proposed", "rejected", "rung", "ended"}
    return folder

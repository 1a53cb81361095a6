"""Forty recorded networks."""

import pytest

from tests.analysis.replay.recordings import table_of


@pytest.fixture(scope="session")
def table():
    return table_of(40)

"""The map of the space around MD, made once a file."""

import pytest

from conf.compose import compose
from space.choices import Space
from space.explore.grid import Grid
from space.shared.plain import from_plain


@pytest.fixture(scope="module")
def md() -> Grid:
    return Grid(from_plain(Space, compose("explore", [])["space"]))

"""What the searches of a sweep are asked for, where none is searched."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mdsearch.commands import search
from search.runs.record import History
from search.settings import SearchSettings
from tests.search.histories import header


def searches_of(words: list[str], count: int) -> list[SearchSettings]:
    """The settings of each of the `count` searches that `mdsearch search -m` with these words begins."""
    asked: list[SearchSettings] = []

    def take(settings: SearchSettings, *rest: object) -> object:
        asked.append(settings)
        if len(asked) == count:
            raise KeyboardInterrupt
        history = History(header=header())
        return SimpleNamespace(folder=None, history=history, report=None, best=None, interrupted=False)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "run_search", take)
        patched.setattr("search.unets.check", lambda settings: None)  # it loads the data of each
        with pytest.raises(KeyboardInterrupt):
            search.main(["-m", *words])
    return asked

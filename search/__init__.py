"""Which candidate next, when to stop, what was learned?

From a notebook, the same as from the command line:

    import search
    result = search.search("budget=md_lite", "trials=6")
    print(result.best.to_yaml(), result.report)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.run import RunResult


def search(*overrides: str) -> RunResult:
    """Run one search, as `mdsearch search <overrides>` does, and return where it is and what it says.

    Raises:
        space.plain.InputError: for overrides that cannot be used, before anything starts.
    """
    from mdsearch.commands.search import settings_of
    from search.run import run_search

    settings, words = settings_of(list(overrides))
    return run_search(settings, words)

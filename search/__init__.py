"""Which candidate next, when to stop, which one wins?

`search.search(...)` is `mdsearch.search(...)` until the next release.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.run import RunResult


def search(*overrides: str) -> RunResult:
    """An older name of `mdsearch.search`."""
    from mdsearch.api import search

    warnings.warn("search.search is mdsearch.search now", DeprecationWarning, stacklevel=2)
    return search(*overrides)

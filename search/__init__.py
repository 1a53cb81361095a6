"""Which candidate next, when to stop, which one wins?

    run, settings, plan, preparation   a search from its settings to its end
    strategy, strategies/              what drives it: propose, judge a rung, take a result
    samplers/, stopping/               which candidate next, when a trial is stopped; custom: classes of yours
    backends/, trial                   who trains, and one training run on one worker
    scoring/, objectives               what scores a candidate, and which scores decide
    confirmation/                      the race of the best
    statistics/                        fronts, noise and verdicts, of plain scores and curves
    runs/                              the record, and the files of a run folder
    testing, toy                       contracts of samplers and rules, in a small world

Files of one line of text (`compare`, `noise`, `evidence/`, ...) are older names of commands.
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

"""When to stop a trial: at a rung, by its curve so far, against those of the trials recorded before it.

A rule is a plain function of what is recorded, without state of its own, so that a decision can be
checked afterwards and a resumed search decides the same. The paper (section 5.1) halts a candidate when
"FID and CLIP scores show signs of slower improvement compared to previous candidates".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from search.statistics.curves import Curve
from search.statistics.pareto import Point


class StoppingRule(Protocol):
    """Called once for each rung of a trial but the last, in the order in which rungs are recorded."""

    def reason_to_halt(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        """Why the trial should be halted, for the record; empty to let it go on.

        Args:
            trial: its own curve so far; the last point is that of the rung to judge.
            peers: the curves of the other trials, whole as far as they are recorded, in the order in which
                the trials were. Some may end before this rung, and some be empty.
            start: the scores of an untrained network, where every trial begins.
            full_steps: the length of a full trial, which is where its curve would end.
        """
        ...

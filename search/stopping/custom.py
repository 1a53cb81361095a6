"""A user's own stopping rule, watched over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.custom import PUT_RIGHT, _failed, _made
from search.statistics.curves import Curve
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule
from space.shared.plain import InputError


def own_rule(use: str | None, options: Mapping[str, Any] | None, noise: Noise) -> StoppingRule:
    """The user's stopping rule, watched over. Raises InputError if it cannot be made."""
    arguments = ("trial", "peers", "start", "full_steps")
    return OwnRule(str(use), _made("stopping", use, options, {"noise": noise}, "reason_to_halt", arguments))


class OwnRule:
    """Hands on why the user's rule would halt."""

    def __init__(self, use: str, made: Any) -> None:
        self.use, self.made = use, made

    def reason_to_halt(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        try:
            reason = self.made.reason_to_halt(trial, peers, start, full_steps)
            if not isinstance(reason, str):
                raise InputError(f"it returned {reason!r}; allowed: why it halts, as text, or empty text")
        except Exception as error:
            raise _failed(self.use, "reason_to_halt", error, PUT_RIGHT) from None
        return reason

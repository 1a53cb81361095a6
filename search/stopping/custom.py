"""A custom stopping rule, watched over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search.custom import PUT_RIGHT, custom_instance, failed
from search.statistics.curves import Curve
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule, verb_of
from space.shared.plain import InputError


@dataclass(frozen=True)
class CustomRuleSettings:
    """`use` names a class of the user's, as in my_file.py:MyClass, made with `options` beside the noise."""

    name: Literal["custom"] = "custom"
    use: str | None = None
    options: dict[str, Any] | None = None

    def make(self, noise: Noise) -> StoppingRule:
        return custom_rule(self.use, self.options, noise)


def custom_rule(use: str | None, options: Mapping[str, Any] | None, noise: Noise) -> StoppingRule:
    """The user's stopping rule, watched over. Raises InputError if it cannot be made."""
    arguments = ("trial", "peers", "start", "full_steps")
    return CustomRule(
        str(use), custom_instance("stopping", use, options, {"noise": noise}, verb_of, arguments)
    )


class CustomRule:
    """Hands on why the user's rule would stop a trial."""

    def __init__(self, use: str, made: Any) -> None:
        self.use, self.made, self.verb = use, made, verb_of(made)

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        try:
            reason = getattr(self.made, self.verb)(trial, peers, start, full_steps)
            if not isinstance(reason, str):
                raise InputError(f"it returned {reason!r}; allowed: why it stops, as text, or empty text")
        except Exception as error:
            raise failed(self.use, self.verb, error, PUT_RIGHT) from None
        return reason

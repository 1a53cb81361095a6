"""When to stop a trial: at a rung, by its curve so far, against those of the trials recorded before it.

A rule is a plain function of what is recorded, without state of its own, so that a decision can be
checked afterwards and a resumed search decides the same. The paper (section 5.1) stops a candidate when
"FID and CLIP scores show signs of slower improvement compared to previous candidates".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from search.statistics.curves import Curve
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from space.shared.plain import InputError
from space.shared.renamed import note_renamed


class StoppingRule(Protocol):
    """Called once for each rung of a trial but the last, in the order in which rungs are recorded."""

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        """Why the trial should be stopped, for the record; empty to let it go on.

        Args:
            trial: its own curve so far; the last point is that of the rung to judge.
            peers: the curves of the other trials, whole as far as they are recorded, in the order in which
                the trials were. Some may end before this rung, and some be empty.
            start: the scores of an untrained network, where every trial begins.
            full_steps: the length of a full trial, which is where its curve would end.
        """
        ...


def check_peers(minimum_peers: int) -> None:
    if minimum_peers < 1:
        raise InputError(f"minimum_peers: {minimum_peers} is too few; allowed: 1 or more")


class MakesRule(Protocol):
    """The settings of a rule: a dataclass in the rule's own file, whose name chooses it."""

    @property
    def name(self) -> str: ...

    def make(self, noise: Noise) -> StoppingRule: ...


@runtime_checkable
class StatesDoubt(Protocol):
    """Settings of a rule that says how often it stops wrongly, by its own reckoning."""

    @property
    def doubt(self) -> str: ...


VERB, OLD_VERB = "reason_to_stop", "reason_to_halt"


def verb_of(rule: object) -> str:
    """The method by which a rule, or a class of rules, answers: for one release also by its old name."""
    if callable(getattr(rule, VERB, None)) or not callable(getattr(rule, OLD_VERB, None)):
        return VERB
    note_renamed(f"{OLD_VERB} of a stopping rule", VERB)
    return OLD_VERB


class Renamed:
    """A rule with the old name of the method, as one with the new."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        reason: str = self.rule.reason_to_halt(trial, peers, start, full_steps)
        return reason


def as_rule(rule: Any) -> StoppingRule:
    """Any rule, also one that still has the old name of the method."""
    return rule if verb_of(rule) == VERB else Renamed(rule)

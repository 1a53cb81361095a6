"""The stopping rules by name. Each stands in a file of its own, with the settings that make it."""

from __future__ import annotations

from typing import Annotated

from search.statistics.noise import Noise
from search.stopping.base import MakesRule, StoppingRule
from space.shared.plain import ByName

RULES = {
    "asha": "search.stopping.asha:AshaSettings",
    "custom": "search.stopping.custom:CustomRuleSettings",
    "extrapolate": "search.stopping.extrapolate:ExtrapolateSettings",
    "leaders": "search.stopping.leaders:LeadersSettings",
    "median": "search.stopping.median:MedianSettings",
    "none": "search.stopping.none:NoStoppingSettings",
    "paper": "search.stopping.paper:PaperSettings",
}
StoppingSettings = Annotated[MakesRule, ByName(RULES, renamed={"own": "custom"})]
"""The settings of any of them: a field of this type is read by its `name`."""


def make_rule(settings: MakesRule, noise: Noise) -> StoppingRule:
    """The rule that the settings name."""
    return settings.make(noise)

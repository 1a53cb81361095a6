"""The stopping rules by name, and the settings of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from search.statistics.noise import Noise
from search.stopping.asha import AshaRule
from search.stopping.base import StoppingRule
from search.stopping.extrapolate import LEAST_PEERS, ExtrapolatingRule
from search.stopping.median import MedianRule
from search.stopping.none import NoStopping
from search.stopping.paper import PaperRule
from space.shared.plain import InputError


@dataclass(frozen=True)
class StoppingSettings:
    """Which rule, and its numbers. Each rule reads the fields that its name lists in conf/stopping/; `use`
    names a class of the user's own, made with `options`."""

    name: Literal["paper", "median", "asha", "extrapolate", "none", "own"] = "paper"
    minimum_peers: int = 3
    quantile: float = 0.5
    deviations: float = 1.0
    ahead_deviations: float = 2.0
    reduction: float = 2.0
    confidence: float = 0.9
    use: str | None = None
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.minimum_peers < 1:
            raise InputError(f"minimum_peers: {self.minimum_peers} is too few; allowed: 1 or more")
        if not 0 < self.quantile < 1:
            raise InputError(f"quantile: {self.quantile} is not a quantile; allowed: between 0 and 1")
        for name in ("deviations", "ahead_deviations"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if self.reduction <= 1:
            raise InputError(f"reduction: {self.reduction} keeps everybody; allowed: more than 1")
        if not 0.5 <= self.confidence < 1:
            raise InputError(f"confidence: {self.confidence} is none; allowed: from 0.5 to under 1")
        if self.name == "extrapolate" and self.minimum_peers < LEAST_PEERS:
            raise InputError(
                f"minimum_peers: {self.minimum_peers} is too few for a line; allowed: {LEAST_PEERS} or more"
            )


def make_rule(settings: StoppingSettings, noise: Noise) -> StoppingRule:
    """The rule that the settings name."""
    if settings.name == "paper":
        return PaperRule(
            noise, settings.minimum_peers, settings.quantile, settings.deviations, settings.ahead_deviations
        )
    if settings.name == "median":
        return MedianRule(settings.minimum_peers)
    if settings.name == "asha":
        return AshaRule(settings.minimum_peers, settings.reduction)
    if settings.name == "extrapolate":
        return ExtrapolatingRule(noise, settings.minimum_peers, settings.confidence)
    if settings.name == "own":
        from search.stopping.custom import own_rule

        return own_rule(settings.use, settings.options, noise)
    return NoStopping()

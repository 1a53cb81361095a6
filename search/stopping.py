"""When to stop a trial: at a rung, by its curve so far, against those of the trials recorded before it.

A rule is a plain function of what is recorded, without state of its own, so that a decision can be
checked afterwards and a resumed search decides the same. The paper (section 5.1) halts a candidate when
"FID and CLIP scores show signs of slower improvement compared to previous candidates".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, Protocol

from search.curves import Curve, points_at
from search.extrapolation import LEAST_PEERS, ExtrapolatingRule
from search.ranking import Noise, Point, fronts, rank_sums
from space.plain import InputError


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


@dataclass(frozen=True)
class NoStopping:
    def reason_to_halt(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        return ""


@dataclass(frozen=True)
class PaperRule:
    """Halts a trial whose improvement since the start lags that of its peers (a quantile of them) beyond
    the noise in FID or in CLIP, and is ahead of it beyond the noise in neither.

    "Lags in either, ahead in neither": a network without cross-attention can have the best FID of all at
    the first rung, so stopping on FID alone keeps it; asking both to lag keeps it too. For the same reason
    being ahead takes more deviations than lagging: a far too narrow network was ahead in FID by nearly two.
    Improvement counts since the start, since from one rung to the next it is inside the noise.
    """

    noise: Noise
    minimum_peers: int
    quantile: float
    deviations: float
    ahead_deviations: float

    def reason_to_halt(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here, others = trial.at(trial.step), points_at(peers, trial.step)
        if here is None or len(others) < self.minimum_peers:
            return ""
        fid_bar = _quantile([start.fid - peer.fid for peer in others], self.quantile)
        clip_bar = _quantile([peer.clip - start.clip for peer in others], self.quantile)
        at = self.noise.at(trial.step)
        fid_deviation, clip_deviation = at.fid_relative * abs(start.fid - fid_bar), at.clip
        fid_noise, clip_noise = self.deviations * fid_deviation, self.deviations * clip_deviation
        fid_lead = (start.fid - here.fid) - fid_bar
        clip_lead = (here.clip - start.clip) - clip_bar
        ahead = self.ahead_deviations
        if fid_lead > ahead * fid_deviation or clip_lead > ahead * clip_deviation:
            return ""
        lags = []
        if fid_lead < -fid_noise:
            lags.append(
                f"FID improved by {start.fid - here.fid:.1f}, peers by {fid_bar:.1f} (noise {fid_noise:.1f})"
            )
        if clip_lead < -clip_noise:
            lags.append(
                f"CLIP by {here.clip - start.clip:.3f}, peers by {clip_bar:.3f} (noise {clip_noise:.3f})"
            )
        return "slower than earlier trials: " + "; ".join(lags) if lags else ""


@dataclass(frozen=True)
class MedianRule:
    """Halts a trial that is worse than the median of its peers in both scores; knows no noise."""

    minimum_peers: int

    def reason_to_halt(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here, others = trial.at(trial.step), points_at(peers, trial.step)
        if here is None or len(others) < self.minimum_peers:
            return ""
        fid, clip = median(peer.fid for peer in others), median(peer.clip for peer in others)
        if here.fid > fid and here.clip < clip:
            return f"below the median: FID {here.fid:.1f} > {fid:.1f} and CLIP {here.clip:.3f} < {clip:.3f}"
        return ""


@dataclass(frozen=True)
class AshaRule:
    """Asynchronous successive halving: goes on if among the best 1/reduction of all recorded at this rung,
    by non-dominated front, and within a front by the sum of the ranks in the two scores."""

    minimum_peers: int
    reduction: float

    def reason_to_halt(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
        here, others = trial.at(trial.step), points_at(peers, trial.step)
        if here is None or len(others) < self.minimum_peers:
            return ""
        points = [*others, here]
        keys = list(zip(fronts(points), rank_sums(points), strict=True))
        place = sum(key < keys[-1] for key in keys) + 1
        kept = max(1, math.ceil(len(points) / self.reduction))
        if place <= kept:
            return ""
        return f"place {place} of {len(points)} at step {trial.step}; the best {kept} go on"


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
        from search.own import own_rule

        return own_rule(settings.use, settings.options, noise)
    return NoStopping()


def _quantile(values: Sequence[float], quantile: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(values)
    place = quantile * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])

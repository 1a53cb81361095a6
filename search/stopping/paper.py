"""The paper's rule (section 5.1): stopped when FID or CLIP improve more slowly than earlier trials' did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.statistics.curves import Curve, points_at
from search.statistics.noise import Noise
from search.statistics.pareto import Point
from search.stopping.base import StoppingRule, check_peers
from space.shared.plain import InputError


@dataclass(frozen=True)
class PaperSettings:
    """`minimum_peers` must be recorded at a rung before anyone is stopped there; `quantile` of their
    improvements is the bar; `deviations` of one run count as lagging, `ahead_deviations` as being ahead."""

    name: Literal["paper"] = "paper"
    minimum_peers: int = 3
    quantile: float = 0.5
    deviations: float = 1.0
    ahead_deviations: float = 2.0

    def __post_init__(self) -> None:
        check_peers(self.minimum_peers)
        if not 0 < self.quantile < 1:
            raise InputError(f"quantile: {self.quantile} is not a quantile; allowed: between 0 and 1")
        for name in ("deviations", "ahead_deviations"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")

    def make(self, noise: Noise) -> StoppingRule:
        return PaperRule(noise, self.minimum_peers, self.quantile, self.deviations, self.ahead_deviations)


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

    def reason_to_stop(self, trial: Curve, peers: Sequence[Curve], start: Point, full_steps: int) -> str:
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


def _quantile(values: Sequence[float], quantile: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(values)
    place = quantile * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])

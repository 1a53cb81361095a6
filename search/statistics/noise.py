"""The noise of one training run at each rung, stated beside the protocol that it was measured under.

A difference inside the noise is undecided, never a rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc
from typing import Any

from search.statistics.pareto import (
    Point,
)
from space.shared.plain import InputError, from_plain

SMALLEST_LEVEL = 1e-100  # so that intervals end


@dataclass(frozen=True)
class RungNoise:
    """Seed-to-seed standard deviation of one run at a step: of FID as a share of the FID (which is to say of
    its logarithm), of CLIP as it is."""

    step: int
    fid_relative: float
    clip: float

    def __post_init__(self) -> None:
        for name in ("fid_relative", "clip"):
            if not getattr(self, name) >= 0:
                value = getattr(self, name)
                raise InputError(f"{name}: {value:g} at step {self.step} is no deviation; allowed: 0 or more")


@dataclass(frozen=True)
class Noise:
    """Noise by rung, and what counts as beyond it.

    `deviations`: so many standard deviations of a difference count as beyond the noise; they also state how
    often a verdict on equal networks may be wrong (`level`). `degrees_of_freedom` is how much the figures
    weigh against repeated seeds: what they were measured with, a run beyond the first of each network. Two
    networks are called equivalent once they are known to differ by less than `equivalent_fid_relative` of
    the FID and `equivalent_clip`.
    """

    rungs: tuple[RungNoise, ...]
    deviations: float = 2.0
    degrees_of_freedom: float = 6.0
    equivalent_fid_relative: float = 0.05
    equivalent_clip: float = 0.01

    def __post_init__(self) -> None:
        if not self.rungs:
            raise InputError("rungs: empty; allowed: the noise of one step or more")
        for name in ("deviations", "equivalent_fid_relative", "equivalent_clip"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if self.degrees_of_freedom < 1:
            raise InputError(
                f"degrees_of_freedom: {self.degrees_of_freedom:g} is too few; allowed: 1 or more"
            )

    @property
    def level(self) -> float:
        """The share of normal differences beyond `deviations`: .0455 for 2."""
        return max(erfc(self.deviations / 2**0.5), SMALLEST_LEVEL)

    def at(self, step: int) -> RungNoise:
        """The noise at the nearest step that it is stated for."""
        return min(self.rungs, key=lambda rung: abs(rung.step - step))


def beats(one: Point, other: Point, noise: Noise, step: int) -> bool:
    """Whether one run is better than another by more than the noise of two in one score, and not worse by it
    in the other."""
    at, deviations = noise.at(step), noise.deviations * 2**0.5
    fid_noise, clip_noise = deviations * at.fid_relative, deviations * at.clip
    fid_gain, clip_gain = other.log_fid - one.log_fid, one.clip - other.clip
    beyond = fid_gain > fid_noise or clip_gain > clip_noise
    return beyond and fid_gain >= -fid_noise and clip_gain >= -clip_noise


def noise_from_plain(data: Any) -> Noise:
    """A noise as a record's header holds it; fields that it does not name have their defaults."""
    noise = from_plain(Noise, {name: data[name] for name in Noise.__dataclass_fields__ if name in data})
    assert isinstance(noise, Noise)
    return noise

"""The noise of one training run at each rung, stated beside the protocol that it was measured under.

A difference inside the noise is undecided, never a rank. Noise says nothing of another protocol, nor of other
steps, than it was measured under: there it is not known, and what is not known decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import erfc, inf, isfinite, log1p
from typing import Any, cast

from search.objectives import CLIP, FID, Objective, Objectives
from search.statistics.pareto import Point
from space.shared.plain import InputError, from_plain, to_plain

TIE = 1e-9
SMALLEST_LEVEL = 1e-100  # so that intervals end
FEWEST_REPEATS = 6  # degrees of freedom: by fewer, one run is never called better than another
_MARGINS = ("equivalent_fid_relative", "equivalent_clip", "no_worse_fid_relative", "no_worse_clip")


@dataclass(frozen=True)
class RungNoise:
    """Seed-to-seed standard deviation of one run at a step: of FID as a share of the FID (which is to say of
    its logarithm), of CLIP as it is, of `others` by their names, each on its objective's scale. Infinite
    where it is not known, so that nothing lies beyond it."""

    step: int
    fid_relative: float
    clip: float
    others: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stated = {"fid_relative": self.fid_relative, "clip": self.clip}
        for name, value in (
            stated | {f"others.{name}": value for name, value in self.others.items()}
        ).items():
            if not value >= 0:
                raise InputError(f"{name}: {value:g} at step {self.step} is no deviation; allowed: 0 or more")

    @classmethod
    def of(cls, step: int, deviations: Mapping[Objective, float | None]) -> RungNoise:
        """From what is known of each objective; None: nothing is, as of a FID that is no objective."""
        by_label = {each.label: deviation for each, deviation in deviations.items()}
        others = {
            each.name: deviation
            for each, deviation in deviations.items()
            if each.label not in (FID, CLIP) and deviation is not None
        }
        fid, clip = (inf if known is None else known for known in (by_label.get(FID), by_label.get(CLIP)))
        return cls(step, fid, clip, others)

    def deviation(self, objective: Objective) -> float | None:
        """As stated, on the objective's even scale; None where none is known: no difference counts as beyond
        it."""
        stated = {FID: self.fid_relative, CLIP: self.clip}
        found = stated.get(objective.label, self.others.get(objective.name))
        return None if found is None or not isfinite(found) else found

    def deviations(self, objectives: Objectives) -> list[float | None]:
        """Of each, for comparing them: none at all of what is exact, whatever is stated."""
        return [0.0 if objective.exact else self.deviation(objective) for objective in objectives]


@dataclass(frozen=True)
class Noise:
    """Noise by rung, and what counts as beyond it.

    `deviations`: so many standard deviations of a difference count as beyond the noise; they also state how
    often a verdict on equal networks may be wrong (`level`). `degrees_of_freedom` is how much the figures
    weigh against repeated seeds: what they were measured with, a run beyond the first of each network. Two
    networks are called equivalent once they are known to differ by less than `equivalent_fid_relative` of
    the FID, `equivalent_clip`, and what `equivalent_others` says by name of other objectives; one is called
    no worse than another once it is known to be worse by less than `no_worse_fid_relative`, `no_worse_clip`
    and `no_worse_others`.
    `measured_under` names what decides a score, as it was when this was measured
    (`search.runs.compatibility.protocol_parts`): elsewhere it says nothing. A part that is not named may be
    any; None: nobody knows, so that it holds nowhere. `measured_up_to_fid` is the highest mean FID, at the
    last rung, of the networks that it was measured on: of worse ones it is another (None: nobody knows).
    """

    rungs: tuple[RungNoise, ...]
    deviations: float = 2.0
    degrees_of_freedom: float = 6.0
    equivalent_fid_relative: float = 0.05
    equivalent_clip: float = 0.01
    equivalent_others: dict[str, float] = field(default_factory=dict)
    no_worse_fid_relative: float = 0.05
    no_worse_clip: float = 0.01
    no_worse_others: dict[str, float] = field(default_factory=dict)
    measured_under: tuple[str, ...] | None = field(default=None, compare=False)  # says where, not how much
    measured_up_to_fid: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.rungs:
            raise InputError("rungs: empty; allowed: the noise of one step or more")
        bounds = {name: getattr(self, name) for name in ("deviations", *_MARGINS)}
        for others in ("equivalent_others", "no_worse_others"):
            bounds |= {f"{others}.{name}": bound for name, bound in getattr(self, others).items()}
        for name, bound in bounds.items():
            if bound < 0:
                raise InputError(f"{name}: {bound} is negative; allowed: 0 or more")
        if unread := [part for part in self.measured_under or () if "-" not in part]:
            raise InputError(
                f"measured_under: {unread[0]!r} is no part of a protocol; allowed: what mdsearch noise writes"
            )
        if self.degrees_of_freedom < 1:
            raise InputError(
                f"degrees_of_freedom: {self.degrees_of_freedom:g} is too few; allowed: 1 or more"
            )

    @property
    def level(self) -> float:
        """The share of normal differences beyond `deviations`: .0455 for 2."""
        return max(erfc(self.deviations / 2**0.5), SMALLEST_LEVEL)

    def at(self, step: int) -> RungNoise:
        """The noise at a step; not known at one that it is not stated for."""
        return next((rung for rung in self.rungs if rung.step == step), RungNoise(step, inf, inf))

    @property
    def unknown(self) -> Noise:
        """The same without any figure: what counts as beyond the noise, of a protocol whose noise nobody has
        measured."""
        return replace(self, rungs=tuple(RungNoise(rung.step, inf, inf) for rung in self.rungs))

    def known(self, objectives: Objectives) -> bool:
        """Whether it says anything of any of them at any step."""
        return any(rung.deviation(each) is not None for rung in self.rungs for each in noisy(objectives))

    def out_of_range(self, objective: Objective, mean: float, step: int, seeds: int) -> bool:
        """Whether a network with this mean, on the even scale, over so many seeds is worse than those that
        this was measured on, by more than the noise of its mean."""
        deviation = self.at(step).deviation(objective)
        if objective.label != FID or self.measured_up_to_fid is None or deviation is None:
            return False
        above = mean - objective.even(self.measured_up_to_fid)
        return above > self.deviations * deviation / seeds**0.5

    def equivalent(self, objective: Objective) -> float | None:
        """By how much equivalent networks may differ, on the objective's even scale; None: none are."""
        stated = {FID: self.equivalent_fid_relative, CLIP: self.equivalent_clip}
        bound = stated.get(objective.label, self.equivalent_others.get(objective.name, _of_exact(objective)))
        return log1p(bound) if bound is not None and objective.scale == "log" else bound

    def no_worse(self, objective: Objective) -> float | None:
        """By how much a network that is no worse may be worse, on the objective's even scale; None: never."""
        stated = {FID: self.no_worse_fid_relative, CLIP: self.no_worse_clip}
        bound = stated.get(objective.label, self.no_worse_others.get(objective.name, _of_exact(objective)))
        if bound is None or objective.scale == "linear":
            return bound
        if not objective.lower_is_better and bound >= 1:
            return None  # a share below zero
        return log1p(bound) if objective.lower_is_better else -log1p(-bound)


def _of_exact(objective: Objective) -> float | None:
    """The margin where none is stated: equal values are."""
    return 0.0 if objective.exact else None


def noisy(objectives: Sequence[Objective]) -> list[Objective]:
    return [each for each in objectives if not each.exact]


def tie_or(difference: float, objective: Objective) -> float:
    """A difference on the even scale; 0 where it is a rounding of what was computed in another order."""
    return 0.0 if objective.exact and abs(difference) < TIE else difference


NO_NOISE = Noise((RungNoise(1, inf, inf),))  # of a search that states none


def beats(one: Point, other: Point, noise: Noise, step: int) -> bool:
    """Whether one run is better than another by more than the noise of two in one score, and not worse by it
    in any other; never where the noise of one is not known, or from a few repeats alone."""
    at, deviations = noise.at(step).deviations(one.objectives), noise.deviations * 2**0.5
    known = [deviations * each for each in at if each is not None]
    if len(known) < len(at) or noise.degrees_of_freedom < FEWEST_REPEATS:
        return False
    of_each = zip(one.gains_over(other), one.objectives, strict=True)
    gains = list(zip((tie_or(*each) for each in of_each), known, strict=True))
    return any(gain > bound for gain, bound in gains) and all(gain >= -bound for gain, bound in gains)


def without_noise(noise: Noise, objectives: Sequence[Objective]) -> list[str]:
    """Names of the objectives whose noise is not stated at some rung."""
    of = noisy(objectives)
    return [each.name for each in of if any(rung.deviation(each) is None for rung in noise.rungs)]


def noise_to_plain(noise: Noise) -> dict[str, Any]:
    """As records and presets hold it: nothing of other objectives where there are none."""
    plain = to_plain(noise)
    of_others = [(plain, "equivalent_others"), (plain, "no_worse_others")]
    for fields, name in [*of_others, *((rung, "others") for rung in plain["rungs"])]:
        if not fields[name]:
            del fields[name]
    return cast("dict[str, Any]", plain)


def noise_from_plain(data: Any) -> Noise:
    """A noise as a record's header holds it; fields that it does not name have their defaults."""
    noise = from_plain(Noise, {name: data[name] for name in Noise.__dataclass_fields__ if name in data})
    assert isinstance(noise, Noise)
    return noise

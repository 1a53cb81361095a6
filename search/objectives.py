"""Which scores decide a search, and in which direction and on which scale each is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from typing import Any, Literal

from space.budget import LATENCY
from space.shared.plain import InputError, from_plain, to_plain

SMALLEST_LOGARITHMIC = 1e-9  # an FID of 0, of equal features, or a rounding below it has no logarithm
MOST_LOGARITHM = 700.0  # beyond it a float overflows
FID, CLIP = "FID", "CLIP"
VALIDATION_LOSS = "validation_loss"  # the score that a trial records beside its evaluator's
DECODER_GMACS, DECODER_PARAMETERS = "decoder_gmacs", "decoder_parameters"
COMPUTED = (LATENCY, DECODER_GMACS, DECODER_PARAMETERS)  # of the network alone, where a search records them


@dataclass(frozen=True)
class Objective:
    """One score that decides, by its full name in the record.

    `scale` is where its noise is even: seeds multiply a score on the `log` scale, so that its noise is a
    share of it, and add to one on the `linear` scale. `label` is what tables and reasons call it; its name,
    if empty. One that is `exact` (`with_exact`) has no noise: what differs at all differs.
    """

    name: str
    direction: Literal["minimize", "maximize"] = "minimize"
    scale: Literal["log", "linear"] = "linear"
    label: str = ""
    exact: bool = field(default=False, init=False, compare=False)  # follows from who records it: never stored

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("name: empty; allowed: a score that trials record, such as validation_loss")
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def lower_is_better(self) -> bool:
        return self.direction == "minimize"

    def loss(self, value: float) -> float:
        """Smaller is better."""
        return value if self.lower_is_better else -value

    def even(self, value: float) -> float:
        """On the scale on which its noise is even."""
        return log(max(value, SMALLEST_LOGARITHMIC)) if self.scale == "log" else value

    def from_even(self, value: float) -> float:
        return exp(min(value, MOST_LOGARITHM)) if self.scale == "log" else value

    def gain(self, value: float, over: float) -> float:
        """By how much a value is better than another, on the even scale."""
        one, other = self.even(value), self.even(over)
        return other - one if self.lower_is_better else one - other

    def best(self, values: Iterable[float]) -> float:
        return min(values) if self.lower_is_better else max(values)

    def worst(self, values: Iterable[float]) -> float:
        return max(values) if self.lower_is_better else min(values)

    def past(self, worst: float) -> float:
        """A little worse than the worst: where a hypervolume is measured from."""
        if self.scale == "log":
            return worst * 1.01 if self.lower_is_better else worst / 1.01
        return worst + 0.01 if self.lower_is_better else worst - 0.01

    @property
    def decimals(self) -> int:
        """As a table holds its values."""
        return {FID: 2, CLIP: 3}.get(self.label, 4)

    @property
    def title(self) -> str:
        """What a chart's axis says."""
        return f"{self.label}, {'lower' if self.lower_is_better else 'higher'} is better"

    def value_text(self, value: float) -> str:
        """A value as lines of figures hold it."""
        return f"{value:.2f}" if self.label == FID else self.roughly(value)

    def roughly(self, value: float) -> str:
        """A value as a sentence holds it."""
        return format(value, {FID: ".1f", CLIP: ".3f"}.get(self.label, ".4g"))

    def apart_text(self, distance: float) -> str:
        """How far apart two networks are, on the even scale: `a factor of 1.25 in FID`, `0.045 in CLIP`."""
        if self.scale == "log":
            return f"a factor of {exp(distance):.2f} in {self.label}"
        return f"{self.roughly(distance)} in {self.label}"

    def difference_text(self, value: float) -> str:
        """A difference: on the log scale a share."""
        if self.scale == "log":
            return f"{value:+.0%}"
        return f"{value:+.3f}" if self.label == CLIP else f"{value:+.3g}"


Objectives = tuple[Objective, ...]


def fid_and_clip(fid: str = "fid_embedded_clip", clip: str = "clip_embedded") -> Objectives:
    """The two that decide by default, by the full names of their scores."""
    return Objective(fid, "minimize", "log", FID), Objective(clip, "maximize", "linear", CLIP)


FID_AND_CLIP = fid_and_clip()


def with_exact(objectives: Iterable[Objective]) -> Objectives:
    """The same; those that a search computes from the network alone are exact. Told ones may be measured."""
    marked = tuple(map(replace, objectives))
    for each in marked:
        object.__setattr__(each, "exact", each.name in COMPUTED)
    return marked


def checked(objectives: Sequence[Objective]) -> Objectives:
    """Raises InputError where two have one name or one label."""
    for kind in ("name", "label"):
        words = [getattr(objective, kind) for objective in objectives]
        if twice := next((word for word in words if words.count(word) > 1), None):
            raise InputError(f"{kind}: {twice} is an objective twice; allowed: each once")
    return tuple(objectives)


def known_in_words(objectives: Objectives, scores: Mapping[str, float]) -> str:
    """`FID 12.34, CLIP 0.456`, of those that are there."""
    return ", ".join(
        f"{objective.label} {objective.value_text(scores[objective.name])}"
        for objective in objectives
        if objective.name in scores
    )


def objectives_to_plain(objectives: Objectives) -> Any:
    """As a record's header holds them: a FID and a CLIP by their names, others as a list."""
    if tuple(objective.label for objective in objectives) == (FID, CLIP):
        fid, clip = (objective.name for objective in objectives)
        if objectives == fid_and_clip(fid, clip):
            return {"fid": fid, "clip": clip}
    return to_plain(objectives)


def objectives_from_plain(plain: Any) -> Objectives:
    """
    Raises:
        InputError: neither form of a header.
    """
    if plain is None or isinstance(plain, Mapping):
        return fid_and_clip(**(plain or {}))
    return checked(from_plain(tuple[Objective, ...], plain, "objectives"))

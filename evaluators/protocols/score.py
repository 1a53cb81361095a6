"""A score: a number, where it would lie were the samples generated again, and the protocol of both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evaluators.protocols.protocol import HPS, EvaluationProtocol, NetworkSpec, differences
from space.shared.plain import InputError, from_plain, to_plain

LOWER_IS_BETTER = ("fid", "kid", "lpips", "perceptual")
ScoreVerdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class ConfidenceInterval:
    """Where the score would lie `level` of the times, were the samples generated again (references fixed)."""

    low: float
    high: float
    level: float
    method: str

    def __str__(self) -> str:
        return f"[{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Score:
    """Attributes:
    name: "fid_inception_v3", "clip_vit_b_32", "fid_embedded_clip" ...: the metric, then its features.
    notes: what a reader must know beside the number (captions that were cut, too few samples).
    """

    name: str
    value: float
    interval: ConfidenceInterval | None
    protocol: EvaluationProtocol
    samples: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.name}: {self.value} is not a score")

    @property
    def lower_is_better(self) -> bool:
        return self.name.startswith(LOWER_IS_BETTER)

    def compare(self, other: Score, but_for: Iterable[str] = ()) -> ScoreVerdict:
        """Whether this score is better than `other`, beyond the intervals of both.

        The interval of the difference is taken as that of independent samples, its half-widths added in
        squares; for samples of the same captions that is on the safe side.

        Args:
            but_for: dotted names of protocol fields that may differ, because they are what is compared
                ("drawing.guidance" for a curve over guidance scales).

        Raises:
            InputError: scores of other names or protocols.
        """
        check_comparable(self, other, but_for)
        difference = self.value - other.value
        if abs(difference) <= math.hypot(self._half_width(difference < 0), other._half_width(difference > 0)):
            return "undecided"
        return "better" if (difference < 0) == self.lower_is_better else "worse"

    def _half_width(self, upper: bool) -> float:
        if self.interval is None:
            raise InputError(f"{self.name}: a score without an interval cannot be called better or worse")
        return (self.interval.high - self.value) if upper else (self.value - self.interval.low)

    def __str__(self) -> str:
        interval = f" {self.interval.level:.0%} {self.interval}" if self.interval else ""
        notes = "".join(f"; {note}" for note in self.notes)
        made_by = f"{self.samples} samples, protocol {self.protocol.id}"
        return f"{self.name} {self.value:.5g}{interval}, {made_by}{notes}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON and YAML; the protocol stands inside."""
        plain: dict[str, Any] = to_plain(self)
        return plain | {"protocol_id": self.protocol.id}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Score:
        """Raises InputError for what `to_plain` did not write, or where the protocol was changed since."""
        fields = {name: value for name, value in plain.items() if name != "protocol_id"}
        score = from_plain(cls, fields)
        assert isinstance(score, Score)
        if plain.get("protocol_id") != score.protocol.id:
            raise InputError(
                f"protocol_id: {plain.get('protocol_id')!r} is not that of the protocol beside it, "
                f"{score.protocol.id!r}"
            )
        return score


def check_comparable(one: Score, other: Score, but_for: Iterable[str] = ()) -> None:
    """Raises InputError, naming every field that differs, where two scores do not compare."""
    if one.name != other.name:
        raise InputError(f"{one.name} and {other.name} are different scores and do not compare")
    allowed = set(but_for)
    different = {
        name: values
        for name, values in differences(one.protocol, other.protocol).items()
        if name not in allowed
    }
    if different:
        said = "; ".join(f"{name}: {ours} against {theirs}" for name, (ours, theirs) in different.items())
        raise InputError(
            f"{one.name} of protocols {one.protocol.name} ({one.protocol.id}) and {other.protocol.name} "
            f"({other.protocol.id}) do not compare: {said}"
        )


def score_name(metric: str, features: str) -> str:
    """The key of a score: ("fid", "embedded-clip") to "fid_embedded_clip", ("clip", the same) to
    "clip_embedded"."""
    if metric == "clip":
        features = features.removesuffix("-clip")
    return f"{metric}_{features}".replace("-", "_").replace(".", "_")


def text_score_name(spec: NetworkSpec) -> str:
    """Of a network of images and captions: "clip_vit_b_32"; "hps_v2_0", so that versions are two scores."""
    return score_name(HPS, str(spec.weights)) if spec.text_metric == HPS else score_name("clip", spec.name)

"""One figure of ours beside that of another implementation, and whether the two agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class SecondOpinion:
    """Attributes:
    what: "MACs", "fid_inception_v3": the figure.
    by: the other implementation.
    theirs: None where it gives no figure; `note` then says why.
    allowed: the largest difference at which the two agree; None where they are only shown.
    """

    what: str
    by: str
    ours: float
    theirs: float | None
    allowed: float | None = 0.0
    note: str = ""

    @property
    def difference(self) -> float | None:
        """Theirs less ours."""
        return None if self.theirs is None else self.theirs - self.ours

    @property
    def agrees(self) -> bool | None:
        """None where the two are only shown; a figure that is missing or not finite disagrees."""
        if self.allowed is None:
            return None
        return self.difference is not None and abs(self.difference) <= self.allowed

    def to_plain(self) -> dict[str, Any]:
        """For JSON; a figure that is not finite is written as null."""
        plain = {
            "what": self.what,
            "by": self.by,
            "ours": self.ours,
            "theirs": self.theirs,
            "difference": self.difference,
            "allowed": self.allowed,
            "agrees": self.agrees,
            "note": self.note,
        }
        infinite = [
            key for key, value in plain.items() if isinstance(value, float) and not math.isfinite(value)
        ]
        return plain | dict.fromkeys(infinite)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SecondOpinion:
        """What `to_plain` wrote."""
        return cls(**{field.name: plain[field.name] for field in fields(cls)})


def disagreements(opinions: Iterable[SecondOpinion]) -> list[SecondOpinion]:
    """Those that say otherwise than we do."""
    return [opinion for opinion in opinions if opinion.agrees is False]

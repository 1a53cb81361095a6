"""How each of many strategies, runs or scores looks in a chart: no two alike, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Far apart in hue, and from light to dark for those who don't tell hues apart.
SERIES_COLOURS = ("#3b82f6", "#d9541f", "#0f9d6b", "#8b5cf6", "#c99a06", "#db4f9e", "#0e9fb5", "#6b7280")
MAGNITUDES = 5  # largest over smallest
# As plotly, matplotlib and text have it.
MARKS = (
    ("circle", "o", "●"), ("square", "s", "■"), ("triangle-down", "v", "▼"), ("triangle-up", "^", "▲"),
    ("cross", "P", "✚"), ("star", "*", "★"), ("hexagon", "h", "⬢"), ("x", "X", "✖"),
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """A colour, a mark and dashes (lengths of line and gap). Looks eight apart share a colour, no more."""

    colour: str
    symbol: str
    mark: str
    glyph: str
    dashes: tuple[int, ...]

    @property
    def plotly_line(self) -> dict[str, Any]:
        return {"color": self.colour, "dash": ",".join(f"{length}px" for length in self.dashes) or "solid"}

    @property
    def line(self) -> dict[str, Any]:
        """Of matplotlib."""
        return {"color": self.colour, "linestyle": (0, self.dashes) if self.dashes else "solid"}


def look(place: int) -> Look:
    again, at = divmod(place, len(SERIES_COLOURS))
    symbol, mark, glyph = MARKS[(at + again) % len(MARKS)]
    return Look(SERIES_COLOURS[at], symbol, mark, glyph, _dashes(again))


def spans_magnitudes(values: Sequence[float]) -> bool:
    """Whether an axis of these values should be logarithmic."""
    return min(values, default=0.0) > 0 and max(values) >= MAGNITUDES * min(values)


def _dashes(again: int) -> tuple[int, ...]:
    """None, dashes, dots, then ever more dots behind a dash."""
    if again < 3:
        return ((), (8, 4), (2, 3))[again]
    return (9, 3, *(2, 3) * (again - 2))

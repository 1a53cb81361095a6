"""An architecture as a table for people: a row for each level, as in the paper's Table 6."""

from __future__ import annotations

from space.architecture import Architecture

LEVEL_COLUMNS = ("level", "size", "channels", "conv", "transformer layers down", "up", "attention")


def level_rows(a: Architecture) -> list[tuple[str, ...]]:
    """Of `LEVEL_COLUMNS`, the outermost level first, then the middle where there is one."""
    rows: list[tuple[str, ...]] = []
    for index, level in enumerate(a.levels):
        down, up = (" ".join(map(str, side)) for side in (level.down, level.up))
        attends = _attends(level.self_attention, level.cross_attention) if level.layers else "-"
        size = str(a.size_at(index))
        rows.append((str(index + 1), size, str(level.channels), level.conv, down, up, attends))
    if a.middle is not None:
        middle, size = a.middle, str(a.size_at(len(a.levels) - 1))
        attends = _attends(middle.self_attention, middle.cross_attention) if middle.layers else "-"
        layers = " ".join(map(str, middle.blocks))
        rows.append(("middle", size, str(a.levels[-1].channels), middle.conv, layers, "", attends))
    return rows


def _attends(self_attention: bool, cross_attention: bool) -> str:
    named = [name for name, on in (("SA", self_attention), ("CA", cross_attention)) if on]
    return " + ".join(named) or "none"

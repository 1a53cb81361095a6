"""What changes from one architecture to another, in words."""

from __future__ import annotations

from typing import Any

from space.architecture import Architecture, Middle


def difference(before: Architecture, after: Architecture) -> list[str]:
    """What changes from one architecture to another, a readable line for each; empty if they are equal.

    >>> difference(md, md_lite)
    ['level 3 channels: 1024 -> 896', 'level 3 up: [3, 3, 3] -> [2, 2, 2]']
    """
    old, new = before.canonical(), after.canonical()
    lines: list[str] = []
    for index in range(max(len(old.levels), len(new.levels))):
        if index >= len(new.levels):
            lines.append(f"level {index + 1}: removed ({old.levels[index].channels} channels)")
        elif index >= len(old.levels):
            lines.append(f"level {index + 1}: added ({new.levels[index].channels} channels)")
        else:
            lines += _field_lines(f"level {index + 1} ", old.levels[index], new.levels[index])
    if old.middle is not None and new.middle is not None:
        lines += _field_lines("middle ", old.middle, new.middle)
    elif old.middle != new.middle:
        lines.append(f"middle: {_shown(old.middle)} -> {_shown(new.middle)}")
    return lines + _field_lines("", old, new, skip=("levels", "middle"))


def _field_lines(prefix: str, old: Any, new: Any, skip: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{prefix}{name.replace('_', ' ')}: {_shown(getattr(old, name))} -> {_shown(getattr(new, name))}"
        for name in old.__dataclass_fields__
        if name not in skip and getattr(old, name) != getattr(new, name)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Middle):
        return f"blocks {list(value.blocks)}"
    return "none" if value is None else str(list(value) if isinstance(value, tuple) else value)

"""What changes from one architecture to another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from space.architecture import Architecture, Middle

MOST_IN_A_LINE = 12


def difference(before: Architecture, after: Architecture) -> list[str]:
    """What changes from one architecture to another, a readable line for each; empty if they are equal.

    >>> difference(md, md_lite)
    ['level 3 channels: 1024 -> 896', 'level 3 up: [3, 3, 3] -> [2, 2, 2]']
    """
    return [f"{part} {what}".strip() + f": {change}" for part, what, change in _changes(before, after)]


def difference_in_a_line(before: Architecture, after: Architecture) -> str:
    """The same by levels, the first dozen of them; empty if they are equal.

    >>> difference_in_a_line(md, md_lite)
    'level 3: channels 1024 -> 896, up [3, 3, 3] -> [2, 2, 2]'
    """
    changes = list(_changes(before, after))
    parts: dict[str, list[str]] = {}
    for part, what, change in changes[:MOST_IN_A_LINE]:
        parts.setdefault(part, []).append(f"{what} {change}".strip())
    lines = [f"{part}: {', '.join(said)}" if part else ", ".join(said) for part, said in parts.items()]
    more = [f"{len(changes) - MOST_IN_A_LINE} more"] if len(changes) > MOST_IN_A_LINE else []
    return "; ".join([*lines, *more])


def _changes(before: Architecture, after: Architecture) -> Iterator[tuple[str, str, str]]:
    """Where, what of it, and how it changes."""
    old, new = before.canonical(), after.canonical()
    for index in range(max(len(old.levels), len(new.levels))):
        where = f"level {index + 1}"
        if index >= len(new.levels):
            yield where, "", f"removed ({old.levels[index].channels} channels)"
        elif index >= len(old.levels):
            yield where, "", f"added ({new.levels[index].channels} channels)"
        else:
            yield from _of_fields(where, old.levels[index], new.levels[index])
    if old.middle is not None and new.middle is not None:
        yield from _of_fields("middle", old.middle, new.middle)
    elif old.middle != new.middle:
        yield "middle", "", f"{_shown(old.middle)} -> {_shown(new.middle)}"
    yield from _of_fields("", old, new, skip=("levels", "middle"))


def _of_fields(part: str, old: Any, new: Any, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    for name in old.__dataclass_fields__:
        if name not in skip and getattr(old, name) != getattr(new, name):
            change = f"{_shown(getattr(old, name))} -> {_shown(getattr(new, name))}"
            yield part, name.replace("_", " "), change


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Middle):
        return f"blocks {list(value.blocks)}"
    return "none" if value is None else str(list(value) if isinstance(value, tuple) else value)

"""What changes from one architecture to another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from space.architecture import Architecture, Middle
from space.autoencoder import Autoencoder, ImageMiddle

MOST_IN_A_LINE = 12


def difference(before: Architecture, after: Architecture) -> list[str]:
    """What changes from one architecture to another, a readable line for each; empty if they are equal.

    >>> difference(md, md_lite)
    ['level 3 channels: 1024 -> 896', 'level 3 up: [3, 3, 3] -> [2, 2, 2]']
    """
    return list(map(_as_line, _changes(before, after)))


def autoencoder_difference(before: Autoencoder, after: Autoencoder) -> list[str]:
    """The same of two autoencoders.

    >>> autoencoder_difference(sd, light)
    ['decoder level 1 channels: 128 -> 64', ...]
    """
    old, new = before.canonical(), after.canonical()
    changes = list(_of_fields("", old, new, skip=("encoder", "decoder")))
    for way in ("encoder", "decoder"):
        one, other = getattr(old, way), getattr(new, way)
        changes += _of_levels(one, other, f"{way} ")
        changes += _of_middles(one.middle, other.middle, f"{way} middle")
        changes += _of_fields(way, one, other, skip=("levels", "middle"))
    return list(map(_as_line, changes))


def _as_line(change: tuple[str, str, str]) -> str:
    part, what, how = change
    return f"{part} {what}".strip() + f": {how}"


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
    yield from _of_levels(old, new)
    yield from _of_middles(old.middle, new.middle, "middle")
    yield from _of_fields("", old, new, skip=("levels", "middle"))


def _of_levels(old: Any, new: Any, way: str = "") -> Iterator[tuple[str, str, str]]:
    for index in range(max(len(old.levels), len(new.levels))):
        where = f"{way}level {index + 1}"
        if index >= len(new.levels):
            yield where, "", f"removed ({old.levels[index].channels} channels)"
        elif index >= len(old.levels):
            yield where, "", f"added ({new.levels[index].channels} channels)"
        else:
            yield from _of_fields(where, old.levels[index], new.levels[index])


def _of_middles(old: Any, new: Any, where: str) -> Iterator[tuple[str, str, str]]:
    if old is not None and new is not None:
        yield from _of_fields(where, old, new)
    elif old != new:
        yield where, "", f"{_shown(old)} -> {_shown(new)}"


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
    if isinstance(value, ImageMiddle):
        return f"{value.blocks} blocks"
    return "none" if value is None else str(list(value) if isinstance(value, tuple) else value)

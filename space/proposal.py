"""Which proxies a space can have: widths that divide, latents that halve evenly, heads that fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd
from typing import Any

from space.architecture import Architecture
from space.choices import Space
from space.proxy import Proxy
from space.shared.plain import InputError

LEAST_WIDTH = 8  # channels of the narrowest level
LEAST_HEAD_WIDTH = 16  # narrower heads are slow: then a fixed number of them
MOST_HEADS = 4
INNER_SIZES = (2, 3, 4)  # latent pixels a side at the innermost level


def proposed_proxies(
    space: Space, sizes: Sequence[int], latent_channels: int, context: tuple[int, int] | None
) -> list[Proxy]:
    """Every proxy that holds for all of the space at these latent sizes, the narrowest and smallest first.

    Args:
        context: length and width of the text features; None: those of the space.

    Raises:
        InputError: the widths have no divisor in common that leaves the narrowest level wide enough.
    """
    length, width = context or (None, None)
    found = [
        Proxy(
            width_divisor=divisor,
            latent_channels=latent_channels,
            latent_size=size,
            context_length=length,
            context_width=width,
            heads=_heads(space, divisor),
            norm_groups=_largest_divisor(_common_width(space) // divisor, _base(space, "norm_groups")),
        )
        for divisor in _divisors(space)
        for size in sorted(sizes)
    ]
    if not found:
        raise InputError(
            f"space: its widths and time_width = {_base(space, 'time_width')} divide by no number that "
            f"leaves {LEAST_WIDTH} channels or more; allowed: widths that are multiples of 16, say"
        )
    return found


def inner_size(space: Space, latent_size: int) -> int:
    """Latent pixels a side at the innermost level; its square is the tokens of an attention layer there."""
    return latent_size // deepest(space)


def deepest(space: Space) -> int:
    """What a latent size is a multiple of, to be halved from level to level."""
    return 1 << (len(space.levels) - 1)


def _divisors(space: Space) -> Iterator[int]:
    """Of all widths and the time embedding's, the largest first; the outermost level's stay even."""
    outermost = gcd(*space.levels[min(space.levels)].channels)
    narrowest = min(min(level.channels) for level in space.levels.values())
    common = gcd(_common_width(space), _base(space, "time_width"))
    for divisor in range(narrowest // LEAST_WIDTH, 1, -1):
        if common % divisor == 0 and (outermost // divisor) % 2 == 0:
            yield divisor


def _common_width(space: Space) -> int:
    return gcd(*(width for level in space.levels.values() for width in level.channels))


def _heads(space: Space, divisor: int) -> int | None:
    """None where the architecture's own hold narrowed."""
    common, heads, head_width = (
        _common_width(space) // divisor,
        _base(space, "heads"),
        _base(space, "head_width"),
    )
    if heads is not None and common % heads == 0:
        return None
    width = 0 if head_width is None or head_width % divisor else head_width // divisor
    if width >= LEAST_HEAD_WIDTH and common % width == 0:
        return None
    return _largest_divisor(common, MOST_HEADS)


def _largest_divisor(number: int, most: int) -> int:
    return next(divisor for divisor in range(most, 0, -1) if number % divisor == 0)


def _base(space: Space, name: str) -> Any:
    """A field that is not searched."""
    return space.base.get(name, Architecture.__dataclass_fields__[name].default)

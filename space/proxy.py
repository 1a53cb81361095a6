"""The same architecture, narrower and on smaller images, for training runs of a minute instead of hours.

Every width is divided by one number, exactly: distinct architectures stay distinct, and a search over
896, 960 and 1024 channels compares 56, 60 and 64. Depth, kinds of block, where attention stands, ratios
and sharing are untouched. `Proxy()` is the identity, so full-width training takes the same path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from space.architecture import Architecture
from space.candidates import Candidate
from space.shared.plain import InputError


@dataclass(frozen=True)
class Proxy:
    """What changes between the paper's scale and the trained one; None leaves the architecture's value.

    Setting `heads` replaces a fixed head width by a fixed number of heads per layer.
    """

    width_divisor: int = 1
    latent_channels: int | None = None
    latent_size: int | None = None
    context_length: int | None = None
    context_width: int | None = None
    heads: int | None = None
    norm_groups: int | None = None

    def __post_init__(self) -> None:
        if self.width_divisor < 1:
            raise InputError(f"width_divisor: {self.width_divisor} is not possible; allowed: 1 or more")


def narrow(architecture: Architecture, proxy: Proxy) -> Architecture:
    """The architecture that is trained in place of `architecture`.

    Raises:
        InputError: if a width does not divide exactly, since rounding could make two candidates one.
    """
    divisor = proxy.width_divisor
    levels = tuple(
        replace(level, channels=_divided(f"levels[{index}].channels", level.channels, divisor))
        for index, level in enumerate(architecture.levels)
    )
    changes = {
        name: value
        for name in ("latent_channels", "latent_size", "context_length", "context_width", "norm_groups")
        if (value := getattr(proxy, name)) is not None
    }
    if proxy.heads is not None:
        changes |= {"heads": proxy.heads, "head_width": None}
    elif architecture.head_width is not None:
        changes["head_width"] = _divided("head_width", architecture.head_width, divisor)
    try:
        return replace(
            architecture,
            levels=levels,
            time_width=_divided("time_width", architecture.time_width, divisor),
            **changes,
        )
    except InputError as error:
        raise InputError(f"the proxy of architecture {architecture.id} is impossible: {error}") from None


def trained_form(candidate: Candidate, proxy: Proxy) -> Candidate:
    """What is trained in place of a candidate: a UNet's proxy, and a decoder as it is. Raises as `narrow`."""
    return narrow(candidate, proxy) if isinstance(candidate, Architecture) else candidate


def _divided(name: str, width: int, divisor: int) -> int:
    if width % divisor:
        low, high = width // divisor * divisor, (width // divisor + 1) * divisor
        raise InputError(
            f"{name}: {width} does not divide by the proxy's width_divisor = {divisor}; "
            f"nearest: {low}, {high}"
        )
    return width // divisor

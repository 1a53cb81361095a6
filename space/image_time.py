"""What an image takes: the text encoder once, the UNet for every step, the decoder once."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, localcontext
from math import inf
from typing import Any

from space.shared.plain import InputError


@dataclass(frozen=True)
class ImageTime:
    """`total_ms` is what an image may take, `text_ms` what the text encoder takes of it. A sampler's step
    evaluates the UNet `calls_per_step` times: twice where guidance does, each call of one image."""

    total_ms: float
    steps: int = 8
    calls_per_step: int = 1
    text_ms: float = 0.0

    def __post_init__(self) -> None:
        if not self.total_ms > 0:
            raise InputError(f"total_ms: {self.total_ms:g} is no time; allowed: above 0")
        for name in ("steps", "calls_per_step"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: 1 or more")
        if not 0 <= self.text_ms < inf:
            raise InputError(f"text_ms: {self.text_ms:g} is no time; allowed: 0 or more")

    @property
    def evaluations(self) -> int:
        """Of the UNet."""
        return self.steps * self.calls_per_step

    def spent_ms(self, unet_ms: float, decoder_ms: float) -> float:
        return self.text_ms + self.evaluations * unet_ms + decoder_ms

    def left_ms(self, unet_ms: float, decoder_ms: float) -> float:
        """Below 0: it does not fit."""
        return self.total_ms - self.spent_ms(unet_ms, decoder_ms)

    def words(self) -> str:
        """`8 steps`, `8 steps of 2 calls`."""
        calls = f" of {self.calls_per_step} calls" if self.calls_per_step > 1 else ""
        return f"{self.steps} step{'s' * (self.steps > 1)}{calls}"

    def times_words(self, unet_ms: float) -> str:
        """`8 x 48.1`, `8 x 2 x 48.1`."""
        calls = f"{self.calls_per_step} x " if self.calls_per_step > 1 else ""
        return f"{self.steps} x {calls}{ms_text(unet_ms)}"

    def sum_words(
        self, unet_ms: float, decoder_ms: float, *, unet: str = "UNet", decoder: str = "decoder"
    ) -> str:
        """`text encoder 4 + UNet 8 x 48.1 + decoder 40.0`, under these names."""
        return (
            f"text encoder {ms_text(self.text_ms)} + {unet} {self.times_words(unet_ms)} + "
            f"{decoder} {ms_text(decoder_ms)}"
        )


@dataclass(frozen=True)
class TimedNetwork:
    """`ms` is of one evaluation, or decoding; `architecture` its id; `scores` those that decide, by name."""

    name: str
    ms: float
    architecture: str | None = None
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OtherSide:
    """The networks that those of a search share their time with, as they were when it began: decoders, of a
    search of UNets, or the reverse.

    `source` is where they were read; `objectives` are those of their scores, as plain data; `lists` their
    price lists in words; `notes` what a person should know of the two together.
    """

    source: str
    networks: tuple[TimedNetwork, ...]
    objectives: tuple[dict[str, Any], ...] = ()
    lists: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.networks:
            raise InputError("networks: none; allowed: one or more")

    @property
    def least_ms(self) -> float:
        return min(one.ms for one in self.networks)


def ms_text(ms: float) -> str:
    """As sentences hold milliseconds."""
    return f"{ms:.1f}" if abs(ms) >= 10 else f"{ms:.3g}"


def enough_text(ms: float) -> str:
    """Milliseconds in four digits, rounded up: what is said to be allowed has to be."""
    with localcontext() as digits:
        digits.prec, digits.rounding = 4, ROUND_CEILING
        return f"{+Decimal(ms):f}"

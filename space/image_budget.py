"""One bound for all that an image takes, from the side of the networks that are searched."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

from space.image_time import ImageTime, OtherSide, ms_text
from space.shared.plain import InputError, to_plain

TOTAL = "total_ms"
OTHERS = ("decoder", "unet")  # what the searched networks share an image with: a field of a budget
_PRICES_OF = {side: f"{side}_prices" for side in OTHERS}
# Fields of a budget that say nothing without TOTAL.
IMAGE_FIELDS = ("steps", "calls_per_step", "text_ms", *OTHERS, *_PRICES_OF.values(), "other_side")
_NAMES = {"unet": "UNet", "decoder": "decoder"}


@dataclass(frozen=True)
class ImageBudget:
    """`within` this an image is to stay. `side` is what it takes beside the searched networks: `given` as
    milliseconds, or else as where `read` comes from, of which the fastest counts."""

    within: ImageTime
    side: str
    given: float | str
    read: OtherSide | None = None

    @classmethod
    def of(cls, budget: Any) -> ImageBudget | None:
        """That of a `Budget`; None without a bound on an image. Raises InputError, naming the field."""
        if budget.total_ms is None:
            for one in (one for one in fields(budget) if one.name in IMAGE_FIELDS):
                if getattr(budget, one.name) != one.default:
                    raise InputError(f"{one.name}: has no effect without {TOTAL}, which an image may take")
            return None
        within = ImageTime(budget.total_ms, budget.steps, budget.calls_per_step, budget.text_ms)
        if len(budget.files) != 1:
            raise InputError(
                f"{TOTAL}: needs one price list, prices=<file>, of the device where all of it runs; "
                f"{len(budget.files)} named"
            )
        sides = [side for side in OTHERS if getattr(budget, side) is not None]
        if len(sides) != 1:
            raise InputError(
                f"{TOTAL}: needs what else an image takes, {'not both' if sides else 'and none is named'}; "
                "allowed: decoder=<...> in a search of UNets, unet=<...> in one of decoders: milliseconds, a "
                "run folder, or a network beside its price list"
            )
        given = getattr(budget, sides[0])
        _check_given(budget, sides[0], given)
        return cls(within, sides[0], given, budget.other_side)

    @property
    def least_ms(self) -> float:
        """Of the fastest on the other side. Raises InputError where nobody has read what is named."""
        if self.read is not None:
            return self.read.least_ms
        if not isinstance(self.given, str):
            return float(self.given)
        raise InputError(
            f"budget.{self.side}: {self.given} is read by searches alone; allowed here: milliseconds"
        )

    def spent_ms(self, own_ms: float) -> float:
        """What an image takes by a network that takes this for one evaluation, or decoding."""
        return self.within.spent_ms(*self._both(own_ms))

    @property
    def most_ms(self) -> float:
        """What one evaluation, or decoding, may take."""
        left = self.within.left_ms(*self._both(0.0))
        return left / self.within.evaluations if self.side == "decoder" else left

    def excess(self, own_ms: float, prices: str) -> list[str]:
        """Why an image is over it, in one clause; empty if it is not. `prices` describes the list."""
        left = self.within.left_ms(*self._both(own_ms))
        if left >= 0:
            return []
        several = self.read is not None and len(self.read.networks) > 1
        unet, decoder = (
            "the fastest " * (several and self.side == s) + _NAMES[s] for s in ("unet", "decoder")
        )
        return [
            f"{ms_text(self.spent_ms(own_ms))} ms an image > {self.within.total_ms:g} by {ms_text(-left)}: "
            f"{self.within.sum_words(*self._both(own_ms), unet=unet, decoder=decoder)} ({prices})"
        ]

    def _both(self, own_ms: float) -> tuple[float, float]:
        """The UNet's and the decoder's."""
        return (own_ms, self.least_ms) if self.side == "decoder" else (self.least_ms, own_ms)


def with_whole_paths(budget: Any) -> dict[str, Any]:
    """The fields of a budget that name files of the other side, with whole paths; presets stay names."""
    found: dict[str, Any] = {}
    for name in (*OTHERS, *_PRICES_OF.values()):
        value = getattr(budget, name)
        is_file = name not in OTHERS or (isinstance(value, str) and Path(value).expanduser().exists())
        if value is not None and is_file:
            found[name] = str(Path(value).expanduser().absolute())
    return found


def image_fields(budget: Any) -> dict[str, Any]:
    """As records hold them beside the bound itself; nothing without one."""
    if budget.total_ms is None:
        return {}
    plain = {name: to_plain(getattr(budget, name)) for name in IMAGE_FIELDS}
    return {name: value for name, value in plain.items() if value is not None}


def _check_given(budget: Any, side: str, given: float | str) -> None:
    if not isinstance(given, str) and not 0 <= given < inf:
        raise InputError(f"{side}: {given:g} is no time; allowed: 0 or more milliseconds")
    for other, name in _PRICES_OF.items():
        if getattr(budget, name) is not None and (other != side or not isinstance(given, str)):
            why = f"{other} is not given" if other != side else f"{side}={given:g} is milliseconds"
            raise InputError(f"{name}: has no effect, since {why}; leave it out")

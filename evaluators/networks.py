"""The networks that a protocol asks for: loaded, checked against its digests, and written back into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evaluators.measure import Networks
from evaluators.protocol import Protocol
from evaluators.weights import WeightsSettings


@dataclass(frozen=True)
class ComputeSettings:
    """Where and how precisely networks look at pictures. `auto` is cuda where there is one."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the networks; scores are float64 always


def load_networks(
    protocol: Protocol, weights: WeightsSettings, compute: ComputeSettings | None = None
) -> tuple[Networks, Protocol]:
    """The networks of a protocol, and the protocol with their digests and preparation filled in.

    Raises:
        InputError: an unknown network, weights that are missing (what to put where) or have another digest.
    """
    raise NotImplementedError

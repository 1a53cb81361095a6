"""What a candidate of a search costs: a UNet as a whole, an autoencoder's decoder, which alone is chosen."""

from __future__ import annotations

from collections.abc import Iterable

from space.architecture import Architecture
from space.autoencoder_stages import decoder_stages
from space.candidates import Candidate
from space.kinds.rules import Cost
from space.prices.autoencoder import way_activation_bytes
from space.prices.macs import price, price_of
from space.prices.memory import peak_activation_bytes
from space.stages import Placed, walk


def candidate_price(candidate: Candidate) -> Cost:
    """For one image, at the size that the candidate states."""
    return price(candidate) if isinstance(candidate, Architecture) else price_of(decoder_stages(candidate))


def candidate_activation_bytes(candidate: Candidate, precision: str = "fp32") -> int:
    """The most bytes of activations alive at once. Raises InputError for an unknown precision."""
    if isinstance(candidate, Architecture):
        return peak_activation_bytes(candidate, precision)
    return way_activation_bytes(decoder_stages(candidate), precision)


def candidate_walk(candidate: Candidate) -> Iterable[Placed]:
    """Each stage, where it stands, and its skip, in the order of the forward pass."""
    if isinstance(candidate, Architecture):
        return walk(candidate)
    return [(stage, stage.where, stage.skip) for stage in decoder_stages(candidate)]

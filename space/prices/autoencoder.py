"""What an autoencoder costs, in closed form: the rules of `space.kinds`, added up along its own walk.

MACs and memory are of one image of `Autoencoder.image_size`; encoder and decoder are apart, since they run
apart. Of the memory the convention is that of `space.prices.memory`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from space.autoencoder import Autoencoder
from space.autoencoder_stages import decoder_stages, encoder_stages
from space.kinds.rules import Cost
from space.kinds.table import kind_of
from space.prices.macs import Item, cost_of, price_of
from space.prices.memory import BYTES
from space.shared.plain import InputError, entry_of
from space.stages import Stages


class AutoencoderCost(NamedTuple):
    """Of each way."""

    encoder: Cost
    decoder: Cost

    @property
    def parameters(self) -> int:
        return self.encoder.parameters + self.decoder.parameters


def autoencoder_price(a: Autoencoder) -> AutoencoderCost:
    return AutoencoderCost(price_of(encoder_stages(a)), price_of(decoder_stages(a)))


def autoencoder_breakdown(a: Autoencoder) -> list[Item]:
    """What each stage costs, encoder first, in the order of the forward passes."""
    both = (*encoder_stages(a), *decoder_stages(a))
    return [Item(stage.where, kind_of(stage).label, cost_of(stage)) for stage in both]


def way_activation_bytes(stages: Stages, precision: str = "fp32", batch: int = 1) -> int:
    """The most bytes of activations alive at once while `batch` images, or latents, pass through a way.

    Raises:
        InputError: an unknown precision, or a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch: {batch} is not possible; allowed: 1 or more")
    return batch * max(_alive(stages)) * entry_of(BYTES, precision, "precision")


def _alive(stages: Stages) -> Iterable[int]:
    """In elements of one image, while each stage runs. The first one's input is the caller's."""
    given = 0
    for stage in stages:
        yield given + kind_of(stage).held(stage)
        given = stage.outputs * _pixels_out(stage.kind, stage.pixels)


def _pixels_out(kind: str, pixels: int) -> int:
    return {"padded downsample": pixels // 4, "upsample": 4 * pixels}.get(kind, pixels)

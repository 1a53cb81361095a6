"""What may make a network good or bad, as numbers that a model of few trials can learn from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import log, log1p
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.candidates import Candidate
from space.kinds.stage import Stage
from space.kinds.table import BLOCK_OPTIONS, CONV_BLOCKS, IMAGE_BLOCKS
from space.prices.candidates import candidate_price
from space.prices.macs import price_of
from space.stages import Placed, walk

OTHER_BLOCKS = [kind for kind in CONV_BLOCKS if kind != "full"]  # one that is none of them is full
OTHER_IMAGE_BLOCKS = [kind for kind in IMAGE_BLOCKS if kind != "full"]


def properties(candidate: Candidate) -> np.ndarray:
    """(D,) what may make a network good or bad, of the whole and then of each level: sizes and counts as
    logarithms, kinds as 0 or 1. Inactive parameters leave no trace."""
    return _of_decoder(candidate) if isinstance(candidate, Autoencoder) else _of_unet(candidate)


def _of_decoder(autoencoder: Autoencoder) -> np.ndarray:
    decoder, cost = autoencoder.simplified().decoder, candidate_price(autoencoder)
    middle = decoder.middle
    found = [
        log(cost.parameters),
        log(cost.macs),
        log1p(sum(level.blocks for level in decoder.levels)),
        log1p(0 if middle is None else middle.blocks),
        decoder.attends,
        *(middle is not None and middle.conv == kind for kind in OTHER_IMAGE_BLOCKS),
        decoder.separable_expansion,
        decoder.separable_kernel,
    ]
    for level in decoder.levels:
        found += [log(level.channels), log(level.blocks)]
        found += [level.conv == kind for kind in OTHER_IMAGE_BLOCKS]
    return np.array(found, dtype=np.float64)


def _of_unet(architecture: Architecture) -> np.ndarray:
    placed = list(walk(architecture))
    cost, levels = price_of(stage for stage, _, _ in placed), _levels(placed, len(architecture.levels))
    found = [
        log(cost.parameters),
        log(cost.macs),
        log1p(sum(len(side.layers) for level in levels for side in level)),
        log1p(architecture.self_attention_layers),
        log1p(architecture.cross_attention_layers),
        architecture.cross_attention_layers > 0,
        sum(bool(down.cross_attending or up.cross_attending) for down, up in levels),
        *(sum(up.conv == kind for _, up in levels) for kind in OTHER_BLOCKS),
        *(getattr(architecture, name) for name in BLOCK_OPTIONS),
        architecture.feed_forward_ratio,
        architecture.shared_key_value,
        architecture.activation == "gelu",
        architecture.attention == "relu",
    ]
    for down, up in levels:
        layers = (*down.layers, *up.layers)
        found += [
            log(up.channels),
            up.blocks,
            *(up.conv == kind for kind in OTHER_BLOCKS),
            any(layer.options.self_attention for layer in layers),
            any(layer.options.cross_attention for layer in layers),
        ]
        for side in (down, up):
            found += [log1p(len(side.layers)), log1p(side.cross_attending), side.cross_attending > 0]
    return np.array(found, dtype=np.float64)


class _Side(NamedTuple):
    """A level's way down or up, as its stages have it."""

    conv: str
    channels: int
    blocks: int
    layers: tuple[Stage, ...]
    cross_attending: int


def _levels(placed: Sequence[Placed], count: int) -> list[tuple[_Side, _Side]]:
    """The (way down, way up) of each level, outermost first."""
    sides = {where: _side([stage for stage, _, _ in part]) for where, part in groupby(placed, itemgetter(1))}
    numbers = range(1, count + 1)
    return [(sides[f"down-{number}"], sides[f"up-{number}"]) for number in numbers]


def _side(part: Sequence[Stage]) -> _Side:
    layers = tuple([stage for stage in part if stage.kind == "transformer"])
    attending = sum([layer.options.cross_attention for layer in layers])
    blocks = sum([stage.kind in CONV_BLOCKS for stage in part])
    return _Side(part[0].kind, part[0].outputs, blocks, layers, attending)

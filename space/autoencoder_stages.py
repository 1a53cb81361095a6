"""The one walk over an autoencoder: encoder and decoder as stages, each in the order of its forward pass.

The module, the prices and the memory read it and nothing else.
"""

from __future__ import annotations

from typing import Any

from space.autoencoder import IMAGE_CHANNELS, Autoencoder, Way
from space.kinds.convolution import FullOptions, SeparableOptions
from space.kinds.image import MapOptions
from space.kinds.stage import NONE, Stage
from space.shared.plain import entry_of
from space.stages import Stages

NO_TIME = 0  # a conv block of an autoencoder knows none


def encoder_stages(a: Autoencoder) -> Stages:
    """From the image to mean and logarithm of variance. `where` reads "encoder-in", "encoder-1" to
    "encoder-N", "encoder-middle", "encoder-out"."""
    way, size, last = a.encoder, a.image_size, len(a.encoder.levels) - 1
    channels, latent = way.levels[0].channels, 2 * a.latent_channels
    walk = [Stage("image in", IMAGE_CHANNELS, channels, size, where="encoder-in")]
    for index, level in enumerate(way.levels):
        where = f"encoder-{index + 1}"
        for _ in range(level.blocks):
            walk.append(_block(way, level.conv, channels, level.channels, size >> index, where))
            channels = level.channels
        if index < last:
            walk.append(Stage("padded downsample", channels, channels, size >> index, where=where))
    walk += _middle(way, size >> last, "encoder-middle")
    walk.append(_out(way, way.levels[-1].conv, channels, latent, size >> last, "encoder-out"))
    if a.latent_convs:
        walk.append(Stage("latent conv", latent, latent, size >> last, where="encoder-out"))
    return tuple(walk)


def decoder_stages(a: Autoencoder) -> Stages:
    """From the latents to the image. `where` reads "decoder-in", "decoder-middle", "decoder-N" to
    "decoder-1", "decoder-out"."""
    way, size, last = a.decoder, a.image_size, len(a.decoder.levels) - 1
    channels, latent = way.levels[-1].channels, a.latent_channels
    walk = [Stage("latent conv", latent, latent, size >> last, where="decoder-in")] if a.latent_convs else []
    walk.append(Stage("image in", latent, channels, size >> last, where="decoder-in"))
    walk += _middle(way, size >> last, "decoder-middle")
    for index in range(last, -1, -1):
        level, where = way.levels[index], f"decoder-{index + 1}"
        for _ in range(level.blocks):
            walk.append(_block(way, level.conv, channels, level.channels, size >> index, where))
            channels = level.channels
        if index:
            walk.append(Stage("upsample", channels, channels, size >> index, where=where))
    walk.append(_out(way, way.levels[0].conv, channels, IMAGE_CHANNELS, size, "decoder-out"))
    return tuple(walk)


def _block(way: Way, conv: str, inputs: int, outputs: int, size: int, where: str) -> Stage:
    return Stage(conv, inputs, outputs, size, entry_of(_options(way), conv, "conv"), where)


def _options(way: Way) -> dict[str, Any]:
    groups = way.norm_groups
    return {
        "full": FullOptions(NO_TIME, groups),
        "separable": SeparableOptions(NO_TIME, groups, way.separable_expansion, way.separable_kernel),
        "plain": NONE,
    }


def _middle(way: Way, size: int, where: str) -> list[Stage]:
    """Blocks, with attention between every two."""
    if way.middle is None:
        return []
    channels = way.levels[-1].channels
    block = _block(way, way.middle.conv, channels, channels, size, where)
    attention = Stage("map attention", channels, channels, size, MapOptions(way.norm_groups), where)
    between = [attention, block] if way.middle.attention else [block]
    return [block, *between * (way.middle.blocks - 1)]


def _out(way: Way, conv: str, inputs: int, outputs: int, size: int, where: str) -> Stage:
    """The last convolution; plain blocks, which end in a relu, need no norm before it."""
    if conv == "plain":
        return Stage("image out", inputs, outputs, size, where=where)
    return Stage("normed out", inputs, outputs, size, MapOptions(way.norm_groups), where)

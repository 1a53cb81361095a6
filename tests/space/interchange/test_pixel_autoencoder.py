"""Pixels folded into channels, as diffusers' autoencoders are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from space.interchange.pixel_autoencoder import PixelAutoencoder
from space.shared.plain import InputError
from training.latents import SpaceToDepth


@pytest.mark.parametrize(("factor", "blocks"), [(1, 1), (2, 2), (4, 3)])
def test_it_is_the_codec_to_the_bit(factor: int, blocks: int, tmp_path: Path) -> None:
    PixelAutoencoder(factor).save_pretrained(tmp_path)
    vae, codec = PixelAutoencoder.from_pretrained(tmp_path), SpaceToDepth(factor)
    images = torch.rand(2, 3, 8, 16) * 2 - 1
    posterior = vae.encode(images).latent_dist
    assert torch.equal(posterior.sample(), codec.encode(images))
    assert torch.equal(posterior.mode(), codec.encode(images))
    latents = 2 * codec.encode(images)
    assert torch.equal(vae.decode(latents, return_dict=False)[0], codec.decode(latents))
    assert torch.equal(vae(images).sample, images)
    assert (vae.config.latent_channels, len(vae.config.block_out_channels)) == (codec.channels, blocks)
    assert vae.config.scaling_factor == 1 and vae.dtype == torch.float32


def test_a_factor_that_pipelines_cannot_read_is_refused() -> None:
    with pytest.raises(InputError, match=r"factor: 3; .* 1, 2, 4, 8"):
        PixelAutoencoder(3)

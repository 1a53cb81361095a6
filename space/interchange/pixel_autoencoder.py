"""Pixels folded into channels, in the form of diffusers' autoencoders. None of its own classes can say it:
AutoencoderKL ends in a norm, AutoencoderTiny's decoder begins with a tanh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn
from torch.nn import functional as F

from space.interchange.checkpoints import write_class
from space.shared.plain import InputError


class PixelAutoencoder(ModelMixin, ConfigMixin):
    """`factor` x `factor` pixels become channels and back; the posterior has no spread."""

    _internal_dict: FrozenDict  # the arguments of __init__, kept by ConfigMixin
    scale: Tensor

    @register_to_config
    def __init__(self, factor: int) -> None:
        super().__init__()
        if factor < 1 or factor & (factor - 1):
            raise InputError(f"factor: {factor}; pipelines know powers of two alone: 1, 2, 4, 8, ...")
        self.factor = factor
        self.scale = nn.Buffer(torch.ones(1))  # without any tensor it would have no dtype and no weights file

    @property
    def config(self) -> FrozenDict:
        """What is stored (`factor`), and what pipelines ask for: the factor by a number of blocks."""
        asked = {
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 3 * self.factor**2,
            "block_out_channels": [3] * self.factor.bit_length(),
            "scaling_factor": 1.0,
            "force_upcast": False,
        }
        return FrozenDict({**asked, **self._internal_dict})

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """(B, 3, H, W) images in [-1, 1] to a distribution of (B, 3 f^2, H / f, W / f) latents."""
        mean = F.pixel_unshuffle(x, self.factor)
        posterior = DiagonalGaussianDistribution(
            torch.cat([mean, torch.zeros_like(mean)], dim=1), deterministic=True
        )
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Latents to images in [-1, 1]. A generator changes nothing."""
        images = F.pixel_shuffle(z, self.factor).clamp(-1, 1)
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> Any:
        return self.decode(self.encode(sample).latent_dist.mode(), return_dict)

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **kwargs: Any) -> None:
        """As diffusers does, and the file by which a pipeline finds this class."""
        super().save_pretrained(save_directory, *arguments, **kwargs)  # type: ignore[misc]
        write_class(save_directory, type(self).__module__, type(self).__name__)

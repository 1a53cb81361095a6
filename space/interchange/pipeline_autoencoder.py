"""An autoencoder of any description in the form that diffusers' pipelines ask of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor

from space.autoencoder import IMAGE_CHANNELS, Autoencoder
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.checkpoints import write_class


class PipelineAutoencoder(ModelMixin, ConfigMixin):
    """What `AutoencoderKL` has no layout for: other widths in the decoder, other blocks."""

    _internal_dict: FrozenDict  # the arguments of __init__, kept by ConfigMixin

    @register_to_config
    def __init__(
        self,
        autoencoder: Mapping[str, Any],
        scaling_factor: float = 1.0,
        shift_factor: float | None = None,
        latents_mean: tuple[float, ...] | None = None,
        latents_std: tuple[float, ...] | None = None,
        force_upcast: bool = True,
    ) -> None:
        super().__init__()
        self.network = AutoencoderNetwork(Autoencoder.from_plain(autoencoder, "autoencoder"))

    @property
    def config(self) -> FrozenDict:
        """What is stored, and what pipelines ask for beside."""
        a = self.network.autoencoder
        asked = {
            "in_channels": IMAGE_CHANNELS,
            "out_channels": IMAGE_CHANNELS,
            "latent_channels": a.latent_channels,
            "block_out_channels": [level.channels for level in a.encoder.levels],
            "sample_size": a.image_size,
        }
        return FrozenDict({**asked, **self._internal_dict})

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """(B, 3, H, W) images in [-1, 1] to a distribution of latents."""
        posterior = DiagonalGaussianDistribution(torch.cat(self.network.encode(x), dim=1))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Latents to images. A generator changes nothing."""
        images = self.network.decode(z)
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> Any:
        return self.decode(self.encode(sample).latent_dist.mode(), return_dict)

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **kwargs: Any) -> None:
        """As diffusers does, and the file by which a pipeline finds this class."""
        super().save_pretrained(save_directory, *arguments, **kwargs)  # type: ignore[misc]
        write_class(save_directory, type(self).__module__, type(self).__name__)

"""An `Autoencoder` as a module, built from its stages: encoder and decoder, each one stage after another."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from space.autoencoder import Autoencoder
from space.autoencoder_stages import decoder_stages, encoder_stages
from space.kinds.table import build
from space.stages import Stages

LOG_VARIANCES = (-30.0, 20.0)  # as diffusers bounds them
INITIAL_LOG_VARIANCE = -6.0  # at 0, noise as large as the latents hides them from the decoder for long


class Posterior(NamedTuple):
    """What the encoder says of an image: (B, latent channels, H / f, W / f) each."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        """(B,): the divergence from a standard normal distribution, summed over a latent, in nats."""
        each = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * each.flatten(1).sum(1)


class ImageStages(nn.Module):
    """Stages one after another, each under the name of its place: `encoder-2` holds its blocks in a row.

    With `gradient_checkpointing` the activations of each are computed again in the backward pass.
    """

    gradient_checkpointing = False

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self.places = nn.ModuleDict()
        for stage in stages:
            place = stage.where.partition("-")[2]
            if place not in self.places:
                self.places[place] = nn.ModuleList()
            part = self.places[place]
            assert isinstance(part, nn.ModuleList)
            part.append(build(stage))

    def forward(self, x: Tensor) -> Tensor:
        for place in self.places.values():
            assert isinstance(place, nn.ModuleList)
            for stage in place:
                if self.gradient_checkpointing and torch.is_grad_enabled():
                    x = checkpoint(stage, x, use_reentrant=False)
                else:
                    x = stage(x)
        return x

    def in_a_row(self) -> nn.Sequential:
        """The same modules by their numbers: torch.export writes names of modules into source, where `in`, a
        place, is no name."""
        return nn.Sequential(*(stage for place in self.places.values() for stage in place.children()))

    @property
    def last_weight(self) -> nn.Parameter:
        """Of the last convolution, at which the terms of a loss are weighed (Esser et al., 2021)."""
        return [p for name, p in self.named_parameters() if name.endswith("weight")][-1]


class AutoencoderNetwork(nn.Module):
    """The network that an `Autoencoder` describes. Images are (B, 3, H, W) in [-1, 1], H and W of any size
    that its factor divides."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.encoder = ImageStages(encoder_stages(autoencoder))
        self.decoder = ImageStages(decoder_stages(autoencoder))
        last = [each for each in self.encoder.modules() if isinstance(each, nn.Conv2d)][-1]
        assert last.bias is not None
        with torch.no_grad():
            last.bias[autoencoder.latent_channels :] = INITIAL_LOG_VARIANCE

    def encode(self, images: Tensor) -> Posterior:
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCES))

    def decode(self, latents: Tensor) -> Tensor:
        """Images, not yet bounded."""
        images: Tensor = self.decoder(latents)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Images by way of the mean of their latents."""
        return self.decode(self.encode(images).mean)

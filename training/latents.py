"""Between images and latents: pixels folded into channels, or a frozen autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from space.shared.plain import InputError, nearest
from training.pretrained import load_autoencoder

PIXELS_AT_ONCE = 2**21  # 8 images of 512 px


@dataclass(frozen=True)
class LatentSettings:
    """How images become latents."""

    codec: Literal["space_to_depth", "vae"] = "space_to_depth"
    factor: int = 2  # of space_to_depth: pixels a side that fold into channels
    folder: str | None = None  # of the vae: a diffusers AutoencoderKL
    coordinates: bool = False  # two more input channels that say where a latent pixel is

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise InputError(f"factor: {self.factor} is not possible; allowed: 1 or more")
        if self.codec == "vae" and not self.folder:
            raise InputError("folder: missing; the codec 'vae' needs the folder of a diffusers AutoencoderKL")


class Codec(Protocol):
    """Images (B, 3, H, W) in [-1, 1] to latents (B, channels, H / factor, W / factor), and back.

    `bound` is the largest magnitude of a latent where there is one (sampling clips to it), or None.
    """

    channels: int
    factor: int
    bound: float | None

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


class SpaceToDepth:
    """factor x factor pixels become channels; nothing is lost."""

    bound: float | None = 1.0

    def __init__(self, factor: int) -> None:
        self.factor, self.channels = factor, 3 * factor**2

    def encode(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(images, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents, self.factor).clamp(-1, 1)


class Vae:
    """A frozen diffusers AutoencoderKL, its latents shifted and scaled as its configuration says.

    Encoding takes the mean of the posterior, so that an image has one latent (common random numbers). Large
    images go through it a few at a time: its widest maps are as large as the images.
    """

    bound: float | None = None

    def __init__(self, folder: str, device: torch.device) -> None:
        vae = load_autoencoder(folder, "latents.folder")
        self.autoencoder = vae.to(device).eval().requires_grad_(False)
        config = vae.config
        self.channels = int(config.latent_channels)
        self.factor = 2 ** (len(config.block_out_channels) - 1)
        self.scale: float | Tensor = float(config.scaling_factor)
        self.shift: float | Tensor = float(config.shift_factor or 0.0)
        if config.latents_mean is not None and config.latents_std is not None:
            mean, deviation = (
                torch.tensor(values, device=device).view(1, -1, 1, 1)
                for values in (config.latents_mean, config.latents_std)
            )
            self.scale, self.shift = self.scale / deviation, mean

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        some = images.split(self._at_once(images.shape[-1]))
        mean = torch.cat([self.autoencoder.encode(part).latent_dist.mode() for part in some])
        return (mean - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        some = (latents / self.scale + self.shift).split(self._at_once(latents.shape[-1] * self.factor))
        return torch.cat([self.autoencoder.decode(part).sample for part in some]).clamp(-1, 1)

    @staticmethod
    def _at_once(size_px: int) -> int:
        return max(1, PIXELS_AT_ONCE // size_px**2)


def make_codec(settings: LatentSettings, device: torch.device) -> Codec:
    """Raises InputError where the folder holds no autoencoder, or for a codec that there is not."""
    if settings.codec == "space_to_depth":
        return SpaceToDepth(settings.factor)
    if settings.codec == "vae":
        assert settings.folder is not None
        return Vae(settings.folder, device)
    choices = ("space_to_depth", "vae")
    raise InputError(f"latents.codec: {settings.codec!r} is none; {nearest(settings.codec, choices)}")

"""Between images and latents: pixels folded into channels, or a frozen autoencoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from space.architecture import Architecture
from space.coordinates import COORDINATES
from space.interchange.autoencoder_files import OWN_CLASS, check_scale, read_autoencoder_description
from space.interchange.weight_files import CONFIG_FILE, read_plain
from space.shared.plain import InputError, nearest, to_plain
from training.pretrained import LATENTS_FOLDER, load_autoencoder, local_folder

PIXELS_AT_ONCE = 2**21  # 8 images of 512 px
OF_ENCODER = ("encoder.", "quant_conv.", "network.encoder.")  # weights that make latents, in either form


@dataclass(frozen=True)
class LatentSettings:
    """How images become latents."""

    codec: Literal["space_to_depth", "vae"] = "space_to_depth"
    factor: int = 2  # of space_to_depth: pixels a side that fold into channels
    folder: str | None = None  # of the vae: a diffusers AutoencoderKL, or its address on the Hub
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

    Raises:
        InputError: no autoencoder, or a scale or shift that no latents can have.
    """

    bound: float | None = None

    def __init__(self, folder: str, device: torch.device) -> None:
        vae = load_autoencoder(folder, LATENTS_FOLDER)
        self.autoencoder = vae.to(device).eval().requires_grad_(False)
        config, self._folder = vae.config, local_folder(folder, LATENTS_FOLDER)
        stored, said = read_plain(self._folder / CONFIG_FILE), dict(config)
        if stored.get("_class_name") == OWN_CLASS[1]:  # whose class takes 1 where none is said
            said["scaling_factor"] = stored.get("scaling_factor")
        check_scale(said, f"latents.folder: {folder!r}")
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

    @cached_property
    def space(self) -> dict[str, Any] | None:
        """What makes latents of images, in plain data: sizes, scale, shift, and a digest of the encoder, the
        same in whichever form it is stored. None for an encoder of which we have no description."""
        try:
            described = read_autoencoder_description(self._folder)
        except InputError:
            return None
        config = self.autoencoder.config
        plain = [to_plain(described.encoder.canonical()), described.latent_convs]
        return {
            "channels": self.channels,
            "factor": self.factor,
            "scaling_factor": float(config.scaling_factor),
            "shift_factor": float(config.shift_factor or 0.0),
            "latents_mean": config.latents_mean and list(config.latents_mean),
            "latents_std": config.latents_std and list(config.latents_std),
            "encoder": _weights_of_encoder(self.autoencoder.state_dict(), json.dumps(plain)),
        }

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


def _weights_of_encoder(state: Mapping[str, Tensor], described: str) -> str:
    """Sixteen hexadecimal digits of a description and of weights that make latents, whatever their names."""
    own = [
        tensor.detach().cpu().contiguous() for name, tensor in state.items() if name.startswith(OF_ENCODER)
    ]
    each = sorted(
        hashlib.sha256(f"{list(one.shape)}".encode() + one.numpy().tobytes()).digest() for one in own
    )
    return hashlib.sha256(described.encode() + b"".join(each)).hexdigest()[:16]


def latent_space(codec: Codec) -> dict[str, Any] | None:
    """That of an autoencoder; None where the latents are pixels, or it is not known."""
    return codec.space if isinstance(codec, Vae) else None


def space_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two spaces of latents differ, a clause each; empty: a network for one is for the other."""
    return [
        f"{name} {then.get(name)}, and {now.get(name)} now" for name in now if then.get(name) != now.get(name)
    ]


def check_space(then: Mapping[str, Any] | None, codec: Codec, what: str) -> None:
    """Raises InputError where latents were made otherwise than the codec makes them, naming how; nothing is
    said where one of the two is not known.

    Args:
        what: says whose latents they are, and whose the codec is.
    """
    now = latent_space(codec)
    if then is not None and now is not None and (found := space_differences(then, now)):
        raise InputError(f"{what}: {'; '.join(found)}")


def make_codec(settings: LatentSettings, device: torch.device) -> Codec:
    """Raises InputError where the folder holds no autoencoder, or for a codec that there is not."""
    if settings.codec == "space_to_depth":
        return SpaceToDepth(settings.factor)
    if settings.codec == "vae":
        assert settings.folder is not None
        return Vae(settings.folder, device)
    choices = ("space_to_depth", "vae")
    raise InputError(f"latents.codec: {settings.codec!r} is none; {nearest(settings.codec, choices)}")


def check_fit(architecture: Architecture, image_size_px: int, latents: LatentSettings, codec: Codec) -> None:
    """Raises InputError unless codec, images and architecture agree about the latents."""
    for name in ("condition_channels", "pooled_width", "size_embeddings"):
        if value := getattr(architecture, name):
            raise InputError(f"{name}: {value}, which nothing here trains or generates with; allowed: 0")
    channels = codec.channels + (COORDINATES if latents.coordinates else 0)
    if channels != architecture.latent_channels:
        beside = f", {COORDINATES} of them coordinates" if latents.coordinates else ""
        raise InputError(
            f"latent_channels: the architecture has {architecture.latent_channels}, but the codec makes "
            f"{channels}{beside}; needed: proxy.latent_channels={channels}, or other training.latents"
        )
    if image_size_px != architecture.latent_size * codec.factor:
        raise InputError(
            f"data.image_size_px: {image_size_px} makes latents {image_size_px / codec.factor:g} pixels a "
            f"side, but the architecture is for {architecture.latent_size}; needed: "
            f"data.image_size_px={architecture.latent_size * codec.factor}"
            + f", or proxy.latent_size={image_size_px // codec.factor}"
            * (image_size_px % codec.factor == 0)
        )

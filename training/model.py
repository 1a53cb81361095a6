"""A network that draws: UNet, text encoder, codec and diffusion, in a folder or in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.shared.plain import InputError, from_plain, to_plain
from space.shared.seeds import generator
from space.unet import UNet
from training.diffusion import Diffusion, DiffusionSettings
from training.latents import Codec, LatentSettings, make_codec
from training.text import TextEncoder, TextSettings, make_text_encoder


@dataclass(frozen=True)
class ModelSettings:
    """What a saved model needs beside its weights, and how it draws unless told otherwise."""

    image_size_px: int
    vocabulary: tuple[str, ...]
    guidance: float
    sampling_steps: int
    diffusion: DiffusionSettings
    latents: LatentSettings
    text: TextSettings


class Model:
    """A UNet with all that turns captions into pictures. Raises InputError where the parts don't fit."""

    def __init__(self, architecture: Architecture, settings: ModelSettings, device: torch.device) -> None:
        self.architecture, self.settings, self.device = architecture, settings, device
        self.codec: Codec = make_codec(settings.latents, device)
        _check_fit(architecture, settings, self.codec)
        self.diffusion = Diffusion(settings.diffusion, self.codec.bound, device)
        text = make_text_encoder(
            settings.text,
            list(settings.vocabulary),
            architecture.context_length,
            architecture.context_width,
        )
        self.text: TextEncoder = text.to(device)
        self.unet = UNet(architecture).to(device)
        if device.type == "cpu":  # about a quarter faster there
            self.unet = self.unet.to(memory_format=torch.channels_last)

    def denoise(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """The network's prediction, (B, C, H, W) as the latents; with the coordinates beside them, if set.

        The network then has two channels more than the latents, of which its output's are not used.
        """
        if not self.settings.latents.coordinates:
            prediction: Tensor = self.unet(latents, timesteps, context)
            return prediction
        beside = torch.cat([latents, _coordinates(latents)], dim=1)
        return self.unet(beside, timesteps, context)[:, : latents.shape[1]]

    def modules(self) -> nn.ModuleDict:
        """What is trained and saved: the UNet, and the text encoder unless it is frozen."""
        text = {} if self.text.frozen else {"text": self.text}
        return nn.ModuleDict({"unet": self.unet, **text})

    def initial_noise(self, seed: int, indices: Sequence[int]) -> Tensor:
        """(B, C, H, W): picture i starts from noise that (seed, i) alone decides, in batches of any size."""
        size = self.settings.image_size_px // self.codec.factor
        shape = (self.codec.channels, size, size)
        noise = [torch.randn(shape, generator=generator("initial noise", seed, index)) for index in indices]
        return torch.stack(noise).to(self.device)

    def draw(
        self,
        captions: Sequence[str],
        *,
        seed: int,
        batch_size: int = 64,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """(N, H, W, 3) uint8, one picture a caption, by DDIM with classifier-free guidance."""
        pictures = [
            self.draw_batch(
                captions[start : start + batch_size],
                range(start, min(start + batch_size, len(captions))),
                seed=seed,
                steps=steps,
                guidance=guidance,
            )
            for start in range(0, len(captions), batch_size)
        ]
        size = self.settings.image_size_px
        return np.concatenate(pictures) if pictures else np.empty((0, size, size, 3), np.uint8)

    @torch.no_grad()
    def draw_batch(
        self,
        captions: Sequence[str],
        indices: Sequence[int],
        *,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """(B, H, W, 3) uint8: the pictures of these indices in a longer series, drawn as one batch.

        Raises:
            InputError: a picture that is not finite.
        """
        self.unet.eval()
        self.text.eval()
        latents = self.diffusion.sample(
            self.denoise,
            self.initial_noise(seed, indices),
            self.text.encode(list(captions)),
            self.text.encode([""]),
            steps=steps or self.settings.sampling_steps,
            guidance=self.settings.guidance if guidance is None else guidance,
        )
        images = self.codec.decode(latents).float()
        if not images.isfinite().all():
            raise InputError(f"pictures {indices[0]} to {indices[-1]} are not finite: NaN or overflow")
        images = images.add(1).mul(127.5).round().clamp(0, 255)
        return images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and model.json, the architecture among it: what `load_model` reads."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, module in self.modules().items():
            weights = {key: tensor.contiguous() for key, tensor in module.state_dict().items()}
            save_file(weights, folder / f"{name}.safetensors")
        plain = {"architecture": self.architecture.to_plain(), "settings": to_plain(self.settings)}
        (folder / "model.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


def load_model(folder: str | Path, device: str = "auto") -> Model:
    """A model that `Model.save` (or `Trainer.save_weights`) wrote, ready to draw.

    Raises:
        InputError: a folder that holds no such model, or files that don't belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    architecture, settings = read_description(folder)
    model = Model(architecture, settings, choose_device(device))
    for name, module in model.modules().items():
        try:
            module.load_state_dict(load_file(folder / f"{name}.safetensors", device=str(model.device)))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"{folder / name}.safetensors does not hold its weights: {error}") from None
    return model


def read_description(folder: str | Path) -> tuple[Architecture, ModelSettings]:
    """What a saved model is, without its weights. Raises InputError for a folder that holds none."""
    try:
        plain: Any = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))
        return (
            Architecture.from_plain(plain["architecture"], "model.json: architecture"),
            from_plain(ModelSettings, plain["settings"], "model.json: settings"),
        )
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{str(folder)!r} holds no trained model (model.json): {error}") from None


def choose_device(name: str) -> torch.device:
    """auto: CUDA where there is one. Raises InputError for cuda where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' is not available here; allowed: auto, cpu")
    return torch.device(name)


COORDINATES = 2  # channels: across and down


def _coordinates(latents: Tensor) -> Tensor:
    """(B, 2, H, W): where each latent pixel is, from -1 to 1 across and down."""
    batch, _, height, width = latents.shape
    down, across = (torch.linspace(-1, 1, n, device=latents.device) for n in (height, width))
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"))
    return grid.to(latents.dtype).expand(batch, COORDINATES, height, width)


def _check_fit(architecture: Architecture, settings: ModelSettings, codec: Codec) -> None:
    """Codec, pictures and architecture agree about the latents."""
    channels = codec.channels + (COORDINATES if settings.latents.coordinates else 0)
    if channels != architecture.latent_channels:
        beside = f", {COORDINATES} of them coordinates" if settings.latents.coordinates else ""
        raise InputError(
            f"latent_channels: the architecture has {architecture.latent_channels}, but the codec makes "
            f"{channels}{beside}; change the proxy's latent_channels, or training.latents"
        )
    image_size_px = settings.image_size_px
    if image_size_px != architecture.latent_size * codec.factor:
        raise InputError(
            f"image_size_px: {image_size_px} makes latents {image_size_px / codec.factor:g} pixels a side, "
            f"but the architecture is for {architecture.latent_size}; needed: image_size_px = "
            f"{architecture.latent_size * codec.factor}"
        )

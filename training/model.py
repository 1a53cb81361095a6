"""A network that generates images: UNet, text encoder, codec and diffusion, in a folder or in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.coordinates import with_coordinates
from space.shared.files import folders_beside, replacing, write_whole
from space.shared.plain import InputError, from_plain, nearest, to_plain, unless
from space.shared.seeds import generator
from space.unet import UNet
from training.devices import choose_device
from training.diffusion import ONE_STEP, Diffusion, DiffusionSettings, SamplerName
from training.files import MODEL_NAME
from training.guidance import guidance_embedding
from training.latents import Codec, LatentSettings, check_fit, check_space, latent_space, make_codec
from training.text import TextEncoder, TextSettings, make_text_encoder

LATENT_SPACE = "latent_space"  # of `MODEL_NAME`: what made the latents that a model learnt


@dataclass(frozen=True)
class ModelSettings:
    """What a saved model needs beside its weights, and how it generates unless told otherwise."""

    image_size_px: int
    vocabulary: tuple[str, ...]
    guidance: float
    sampling_steps: int
    diffusion: DiffusionSettings
    latents: LatentSettings
    text: TextSettings
    one_step: bool = unless(False)  # whether it is distilled to predict clean latents at once

    @property
    def sampler(self) -> SamplerName:
        """How it generates, as protocols and manifests name it."""
        return ONE_STEP if self.one_step else self.diffusion.sampler

    def check_steps(self, steps: int) -> None:
        """Raises InputError for more than there are timesteps."""
        if steps > (most := self.diffusion.timesteps):
            raise InputError(f"steps: {steps} is not possible; allowed: at most {most}, its timesteps")


@dataclass(frozen=True)
class FrozenParts:
    """What is neither trained, averaged nor saved. No submodules of the model, whose copies share them."""

    codec: Codec
    text: TextEncoder | None

    def __deepcopy__(self, memo: object) -> FrozenParts:
        return self


class Model(nn.Module):
    """A UNet with all that turns captions into images. Its parameters are those that are trained and saved.

    `network` makes what stands in the place of the UNet, and is called as one; `frozen` are codec and text
    encoder, if they are made already. Raises InputError where the parts don't fit.
    """

    def __init__(
        self,
        architecture: Architecture,
        settings: ModelSettings,
        device: torch.device,
        network: Callable[[Architecture], nn.Module] = UNet,
        frozen: FrozenParts | None = None,
    ) -> None:
        super().__init__()
        self.architecture, self.settings, self.device = architecture, settings, device
        codec = make_codec(settings.latents, device) if frozen is None else frozen.codec
        check_fit(architecture, settings.image_size_px, settings.latents, codec)
        self.diffusion = Diffusion(settings.diffusion, codec.bound, device)
        # The text encoder's initial weights come first, its parameters second.
        text = (
            make_text_encoder(
                settings.text,
                list(settings.vocabulary),
                architecture.context_length,
                architecture.context_width,
                is_read=architecture.cross_attention_layers > 0,
            )
            if frozen is None or frozen.text is None
            else frozen.text
        ).to(device)
        self.unet = network(architecture).to(device)
        if device.type == "cpu":  # about a quarter faster there
            self.unet = self.unet.to(memory_format=torch.channels_last)
        self.text = None if text.frozen else text
        self.frozen = FrozenParts(codec, text if text.frozen else None)

    @property
    def text_encoder(self) -> TextEncoder:
        """Trained along, or frozen."""
        encoder = self.frozen.text if self.text is None else self.text
        assert encoder is not None
        return encoder

    @property
    def codec(self) -> Codec:
        return self.frozen.codec

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        guidance: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction, (B, C, H, W) as the latents; with the coordinates beside them, if set.

        The network then has two channels more than the latents, of which its output's are not used. (B,)
        guidance scales are told to an architecture that has a place for them. A `condition` is for a network
        that takes one (training/adapting.py); one for each image, also where each is there twice, for
        guidance.
        """
        told = {}
        if guidance is not None and (width := self.architecture.guidance_width):
            told = {"guidance": guidance_embedding(guidance, width)}
        if condition is not None:
            told["condition"] = condition.repeat(len(latents) // len(condition), 1, 1, 1)
        if not self.settings.latents.coordinates:
            prediction: Tensor = self.unet(latents, timesteps, context, **told)
            return prediction
        return self.unet(with_coordinates(latents), timesteps, context, **told)[:, : latents.shape[1]]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the codec's latents."""
        size = self.settings.image_size_px // self.codec.factor
        return self.codec.channels, size, size

    def initial_noise(self, seed: int, indices: Sequence[int]) -> Tensor:
        """(B, C, H, W): image i starts from noise that (seed, i) alone decides, in batches of any size."""
        return self._noise_of(seed, indices)()

    def _noise_of(self, seed: int, indices: Sequence[int]) -> Callable[[], Tensor]:
        """What gives the images' initial noise, and when it is called again more of the same streams."""
        own = [generator("initial noise", seed, index) for index in indices]
        return lambda: torch.stack([torch.randn(self.latent_shape, generator=g) for g in own]).to(self.device)

    def generate(
        self,
        captions: Sequence[str],
        *,
        seed: int,
        batch_size: int = 64,
        steps: int | None = None,
        guidance: float | None = None,
        first: int = 0,
    ) -> np.ndarray:
        """(N, H, W, 3) uint8, one image per caption, with classifier-free guidance; in a longer series from
        number `first` on."""
        images = [
            self.generate_batch(
                captions[start : start + batch_size],
                range(first + start, first + min(start + batch_size, len(captions))),
                seed=seed,
                steps=steps,
                guidance=guidance,
            )
            for start in range(0, len(captions), batch_size)
        ]
        size = self.settings.image_size_px
        return np.concatenate(images) if images else np.empty((0, size, size, 3), np.uint8)

    @torch.no_grad()
    def generate_batch(
        self,
        captions: Sequence[str],
        indices: Sequence[int],
        *,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
        condition: Tensor | None = None,
    ) -> np.ndarray:
        """(B, H, W, 3) uint8: the images of these indices in a longer series, generated as one batch; each by
        its `condition`, if the network takes one.

        Raises:
            InputError: an image that is not finite, or more steps than there are timesteps.
        """
        steps = steps or self.settings.sampling_steps
        self.settings.check_steps(steps)
        self.eval()
        noise = self._noise_of(seed, indices)
        scale = self.settings.guidance if guidance is None else guidance
        told = {} if condition is None else {"condition": condition}
        if self.architecture.guidance_width:
            told["guidance"] = torch.full((len(captions),), float(scale), device=self.device)
            scale = 1
        latents = self.diffusion.sample(
            partial(self, **told),
            noise(),
            self.text_encoder.encode(list(captions)),
            self.text_encoder.encode([""]),
            steps=steps,
            guidance=scale,
            sampler=self.settings.sampler,
            more_noise=noise,
        )
        images = self.codec.decode(latents).float()
        if not images.isfinite().all():
            raise InputError(f"images {indices[0]} to {indices[-1]} are not finite: NaN or overflow")
        images = images.add(1).mul(127.5).round().clamp(0, 255)
        return images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def saved_parts(self) -> dict[str, nn.Module]:
        """By the name of its file: the UNet, and the text encoder unless it is frozen."""
        return {"unet": self.unet} | ({} if self.text is None else {"text": self.text})

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and what the model is: what `load_model` reads."""
        parts = {name: part.state_dict() for name, part in self.saved_parts().items()}
        write_model(folder, self.architecture, self.settings, parts, latent_space(self.codec))


def write_model(
    folder: str | Path,
    architecture: Architecture,
    settings: ModelSettings,
    parts: Mapping[str, Mapping[str, Tensor]],
    space: Mapping[str, Any] | None = None,
) -> None:
    """Weights of the UNet, and of the text encoder unless it is frozen, by the names of `saved_parts`, and
    what made the latents that it learnt (`space`), where that is known."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, weights in parts.items():
        with replacing(folder / f"{name}.safetensors") as own:
            save_file({key: tensor.contiguous() for key, tensor in weights.items()}, own)
    plain: dict[str, Any] = {"architecture": architecture.to_plain(), "settings": to_plain(settings)}
    plain |= {} if space is None else {LATENT_SPACE: dict(space)}
    write_whole(folder / MODEL_NAME, json.dumps(plain, indent=1))


def load_model(folder: str | Path, device: str = "auto", where: str = "model") -> Model:
    """A model that `Model.save` (or `Trainer.save_weights`) wrote, ready to generate; `where` it is named.

    Raises:
        InputError: a folder that holds no such model, or files that don't belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    architecture, settings = read_description(folder, where)
    model = Model(architecture, settings, choose_device(device))
    check_latents(folder, model.codec)
    for name, part in model.saved_parts().items():
        try:
            part.load_state_dict(load_file(folder / f"{name}.safetensors", device=str(model.device)))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"{folder / name}.safetensors does not hold its weights: {error}") from None
    return model


def read_description(folder: str | Path, where: str = "model") -> tuple[Architecture, ModelSettings]:
    """What a saved model is, without its weights. Raises InputError for a folder, named so, without one."""
    holds_none = f"{where}: {str(folder)!r} holds no trained model ({MODEL_NAME})"
    try:
        plain: Any = json.loads((Path(folder) / MODEL_NAME).read_text(encoding="utf-8"))
        return (
            Architecture.from_plain(plain["architecture"], f"{where}: {MODEL_NAME}: architecture"),
            from_plain(ModelSettings, plain["settings"], f"{where}: {MODEL_NAME}: settings"),
        )
    except FileNotFoundError:
        there = nearest(Path(folder).name, folders_beside(Path(folder), MODEL_NAME))
        raise InputError(f"{holds_none}; {there}") from None
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{holds_none}: {error}") from None


def stored_space(folder: Path) -> dict[str, Any] | None:
    """What made the latents that a saved model learnt; None where its folder does not say."""
    path = folder / MODEL_NAME
    plain: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return plain.get(LATENT_SPACE)


def check_latents(folder: Path, codec: Codec) -> None:
    """Raises InputError where a saved model learnt other latents than the codec, of its folder, makes now."""
    check_space(stored_space(folder), codec, f"latents.folder: not as {str(folder)!r} was trained on it")

"""A few steps of a training before there are data or encoders: on random latents of its shapes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from space.architecture import Architecture
from space.coordinates import COORDINATES
from space.shared.seeds import generator
from training.data.dataset import Dataset, Examples, Indices
from training.devices import choose_device
from training.execution import keep_activations, lay_out
from training.latents import LatentSettings
from training.loop import TrainingLoop
from training.model import FrozenParts, Model, ModelSettings
from training.objectives.diffusion import DiffusionObjective
from training.settings import TrainingSettings
from training.text import TextEncoder, TextSettings

NO_IMAGES = "latents and features are random here"


@dataclass(frozen=True)
class Rehearsed:
    """Two steps, the second of which was timed.

    Attributes:
        loss: of the second; a number that is finite.
    """

    device: str
    threads: int
    images: int  # of a step
    seconds: float  # of a step
    loss: float

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


def rehearse(
    architecture: Architecture, settings: TrainingSettings, images: int = 1, seed: int = 0
) -> Rehearsed:
    """Two steps of so many images each, in all else as a training of these settings would take them, but for
    what that compiles.

    Raises:
        Diverged: a loss is no number.
    """
    device = choose_device(settings.device)
    training = replace(
        settings, batch_size=images, micro_batch=None, warmup_steps=0, ema_lengths=(), spike_factor=None
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(architecture, training, device)
    objective = DiffusionObjective(model, RandomLatents(model, architecture), training, seed)
    lay_out([model], training.memory_format)
    keep_activations([model], training.checkpointing)
    losses: list[float] = []
    loop = TrainingLoop(objective, training, device, {})
    for step in (1, 2):
        began = time.perf_counter()
        loop.train_to(step, lambda step, loss: losses.append(loss))
        seconds = time.perf_counter() - began
    return Rehearsed(device.type, torch.get_num_threads(), images, seconds, losses[-1])


def _model(architecture: Architecture, settings: TrainingSettings, device: torch.device) -> Model:
    """As the settings make it, without the frozen parts that they name."""
    own = COORDINATES if settings.latents.coordinates else 0
    codec = _NoCodec(architecture.latent_channels - own)
    made = ModelSettings(
        image_size_px=architecture.latent_size,
        vocabulary=(),
        guidance=settings.guidance,
        sampling_steps=settings.sampling_steps,
        diffusion=settings.diffusion,
        latents=LatentSettings(coordinates=settings.latents.coordinates),
        text=TextSettings(),
    )
    text = _NoText(architecture.context_length, architecture.context_width)
    return Model(architecture, made, device, frozen=FrozenParts(codec, text))


class RandomLatents(Dataset):
    """Latents and features of the shapes that a network takes; any number of them."""

    def __init__(self, model: Model, architecture: Architecture) -> None:
        self.name = self.digest = "random"
        self.image_size_px, self.train_images, self.unreadable = architecture.latent_size, 1 << 30, []
        self.train_captions = self.held_out_captions = [""]
        self._latents = model.latent_shape
        self._features = architecture.context_length, architecture.context_width

    def examples(self, places: Sequence[int] | np.ndarray, seed: int) -> Examples:
        own = generator("rehearsal", seed, int(places[0]))
        count = len(places)
        latents = torch.randn(count, *self._latents, generator=own)
        features = torch.randn(count, *self._features, generator=own)
        return Examples(latents, [""] * count, features, torch.zeros(self._features))

    def notes(self) -> list[str]:
        return []

    @property
    def vocabulary(self) -> list[str]:
        return []

    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> NoReturn:
        raise AssertionError(NO_IMAGES)

    def train(self, indices: Indices) -> NoReturn:
        raise AssertionError(NO_IMAGES)

    def one_caption_each(self, indices: Sequence[int]) -> NoReturn:
        raise AssertionError(NO_IMAGES)

    def held_out(self, indices: Indices) -> NoReturn:
        raise AssertionError(NO_IMAGES)


class _NoCodec:
    def __init__(self, channels: int) -> None:
        self.channels, self.factor = channels, 1
        self.bound: float | None = None

    def encode(self, images: Tensor) -> Tensor:
        raise AssertionError(NO_IMAGES)

    def decode(self, latents: Tensor) -> Tensor:
        raise AssertionError(NO_IMAGES)


class _NoText(TextEncoder):
    frozen, unknown_token, would_tell_apart = True, -1, ""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length, self.width = length, width

    def tokenize(self, captions: list[str]) -> NoReturn:
        raise AssertionError(NO_IMAGES)

    def too_long(self, captions: Sequence[str]) -> int:
        return 0

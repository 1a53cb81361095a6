"""The training loop: one architecture, one data set, one seed, step by step and resumable at any of them."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from space.architecture import Architecture
from space.shared.plain import InputError
from space.shared.seeds import derived_seed, generator
from training.data import Dataset
from training.diffusion import DiffusionSettings
from training.latents import LatentSettings
from training.model import Model, ModelSettings, choose_device
from training.text import TextSettings


@dataclass(frozen=True)
class TrainingSettings:
    """How a candidate learns; the defaults are those of the short run on one core."""

    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 20
    decay: Literal["none", "linear", "cosine"] = "none"  # of the learning rate, after the warm-up
    gradient_clip: float = 1.0  # norm over all gradients
    ema_decay: float = 0.97  # of the weights that draw and are validated
    caption_dropout: float = 0.0  # share of captions emptied, which guidance above 1 needs
    guidance: float = 1.0
    sampling_steps: int = 6
    validation_images: int = 256
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on CUDA
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)
    latents: LatentSettings = field(default_factory=LatentSettings)
    text: TextSettings = field(default_factory=TextSettings)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "sampling_steps", "validation_images"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        for name in ("learning_rate", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: above 0")
        for name in ("ema_decay", "caption_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 0 up to below 1")
        for name in ("weight_decay", "warmup_steps"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 0 or more")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(
                f"betas: {list(self.betas)} is not possible; allowed: two numbers from 0 up to below 1"
            )
        if self.sampling_steps > self.diffusion.timesteps:
            raise InputError(
                f"sampling_steps: {self.sampling_steps} is not possible; allowed: at most "
                f"{self.diffusion.timesteps} (diffusion.timesteps)"
            )

    def is_bf16_on(self, device: torch.device) -> bool:
        """Whether this device trains and draws in bf16, by autocast."""
        return self.precision == "bf16" or (self.precision == "auto" and device.type == "cuda")


class Diverged(RuntimeError):
    """The loss is no number any more."""


class Trainer:
    """One candidate in training.

    Batches, noise, timesteps and dropped captions derive from (seed, step) alone: two architectures with one
    seed see the same in the same order. Initial weights derive from the seed.

    Attributes:
        step: steps taken so far.
        parameters: of the UNet.
    """

    def __init__(
        self, architecture: Architecture, data: Dataset, settings: TrainingSettings, *, seed: int
    ) -> None:
        self.architecture, self.data, self.settings, self.seed = architecture, data, settings, seed
        self.step = 0
        self.device = choose_device(settings.device)
        self._model = self._initial_model()
        self._drawing = copy.deepcopy(self._model)  # moves along as the running mean of the weights
        self._trained: list[Tensor] = list(self._model.modules().parameters())
        self._averaged: list[Tensor] = list(self._drawing.modules().requires_grad_(False).parameters())
        self._optimizer = torch.optim.AdamW(
            self._trained,
            lr=settings.learning_rate,
            betas=(settings.betas[0], settings.betas[1]),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.parameters = sum(parameter.numel() for parameter in self._model.unet.parameters())

    # ------------------------------------------------------------------ training

    def train_to(self, step: int, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train until so many steps have been taken; `on_step(step, loss)` follows each.

        Raises:
            Diverged: the loss is NaN or infinite. The weights are then those before that step.
        """
        self._model.unet.train()
        self._model.text.train()
        while self.step < step:
            loss = self._train_one()
            self.step += 1
            if on_step is not None:
                on_step(self.step, loss)

    def batch(self, step: int) -> tuple[Tensor, list[str], Tensor, Tensor]:
        """What step number `step` (from 0) learns from: latents, captions, noise, timesteps (latents and
        noise are (B, C, H, W))."""
        s = self.settings
        images, captions = self.data.train(self._order(step))
        latents = self._model.codec.encode(images.to(self.device))
        own = generator("step", self.seed, step, device=self.device)
        noise = torch.randn(latents.shape, generator=own, device=self.device)
        timesteps = torch.randint(s.diffusion.timesteps, (len(captions),), generator=own, device=self.device)
        dropped = torch.rand(len(captions), generator=own, device=self.device) < s.caption_dropout
        captions = ["" if drop else text for drop, text in zip(dropped.tolist(), captions, strict=True)]
        return latents, captions, noise, timesteps

    def _train_one(self) -> float:
        latents, captions, noise, timesteps = self.batch(self.step)
        noisy = self._model.diffusion.add_noise(latents, noise, timesteps)
        with self._autocast():
            prediction = self._model.denoise(noisy, timesteps, self._model.text.encode(captions))
        loss = self._model.diffusion.loss(prediction, latents, noise, timesteps)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"loss is {'NaN' if math.isnan(value) else 'infinite'} at step {self.step + 1}")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trained, self.settings.gradient_clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        self._optimizer.step()
        self._average()
        return value

    def _learning_rate(self, step: int) -> float:
        """Linear warm-up, then none, linear or cosine decay to zero at `steps`."""
        s = self.settings
        if step < s.warmup_steps:
            return s.learning_rate * (step + 1) / s.warmup_steps
        if s.decay == "none":
            return s.learning_rate
        done = min(1.0, (step - s.warmup_steps) / max(1, s.steps - s.warmup_steps))
        return s.learning_rate * (1 - done if s.decay == "linear" else (1 + math.cos(math.pi * done)) / 2)

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average. Its memory grows with the steps taken: the start is forgotten."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._averaged, self._trained, 1 - decay)

    def _order(self, step: int) -> np.ndarray:
        """Indices of the step's pictures: epoch after epoch, each in an order of its own."""
        count, size = len(self.data.train_captions), self.settings.batch_size
        positions = np.arange(step * size, (step + 1) * size)
        epochs = positions // count
        return np.array(
            [
                _permutation(count, self.seed, int(epoch))[position % count]
                for epoch, position in zip(epochs, positions, strict=True)
            ]
        )

    # ------------------------------------------------------------------ judging

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Loss of the averaged weights on held-out pictures; pictures, noise and timesteps are the same for
        every candidate and every seed."""
        s, model = self.settings, self._drawing
        model.unet.eval()
        model.text.eval()
        count = min(s.validation_images, len(self.data.held_out_captions))
        total = 0.0
        for start in range(0, count, s.batch_size):
            indices = range(start, min(start + s.batch_size, count))
            images, captions = self.data.held_out(indices)
            latents = model.codec.encode(images.to(self.device))
            own = generator("validation", start, s.batch_size)
            noise = torch.randn(latents.shape, generator=own).to(self.device)
            # Evenly spread over the noise levels, by steps that are prime to most counts.
            spread = [(index * 619 % count + 0.5) / count for index in indices]
            timesteps = torch.tensor(
                [int(share * s.diffusion.timesteps) for share in spread], device=self.device
            )
            noisy = model.diffusion.add_noise(latents, noise, timesteps)
            with self._autocast():
                prediction = model.denoise(noisy, timesteps, model.text.encode(captions))
            total += float(model.diffusion.loss(prediction, latents, noise, timesteps)) * len(captions)
        return total / count

    def draw(self, captions: Sequence[str], *, seed: int, batch_size: int = 64) -> np.ndarray:
        """(N, H, W, 3) uint8 by the averaged weights; picture i starts from noise of (seed, i) alone."""
        with self._autocast():
            return self._drawing.draw(captions, seed=seed, batch_size=batch_size)

    # ------------------------------------------------------------------ saving

    def save_state(self, path: str | Path) -> None:
        """Everything that training needs to go on exactly, written whole or not at all."""
        path = Path(path)
        state = {
            "identity": self._identity(),
            "step": self.step,
            "weights": _tensors(self._trained),
            "averaged": _tensors(self._averaged),
            "optimizer": self._optimizer.state_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with open(partial, "wb") as file:  # given a name, torch says of a full disk only "unexpected pos"
                torch.save(state, file)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def load_state(self, path: str | Path) -> None:
        """Go on from a saved state. Raises InputError if it is of another architecture, data or seed."""
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # torch.load raises half a dozen kinds for a broken file
            raise InputError(f"{path}: cannot be read as a training state: {error}") from None
        saved, mine = state["identity"], self._identity()
        for name, value in mine.items():
            if saved.get(name) != value:
                raise InputError(
                    f"{path}: is of another {name} ({saved.get(name)}) than this training ({value})"
                )
        with torch.no_grad():
            torch._foreach_copy_(self._trained, state["weights"])
            torch._foreach_copy_(self._averaged, state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def save_weights(self, folder: str | Path) -> None:
        """The averaged weights, for `training.model.load_model` and `mdsearch generate`."""
        self._drawing.save(folder)

    # ------------------------------------------------------------------ parts

    def _initial_model(self) -> Model:
        s = self.settings
        settings = ModelSettings(
            image_size_px=self.data.image_size_px,
            vocabulary=tuple(self.data.vocabulary),
            guidance=s.guidance,
            sampling_steps=s.sampling_steps,
            diffusion=s.diffusion,
            latents=s.latents,
            text=s.text,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed("weights", self.seed))
            return Model(self.architecture, settings, self.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        enabled = self.settings.is_bf16_on(self.device)
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _identity(self) -> dict[str, str | int]:
        return {"architecture": self.architecture.id, "data": self.data.digest, "seed": self.seed}


@lru_cache(maxsize=2)  # a batch touches two epochs at most, but for tiny data sets
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derived_seed("order", seed, epoch)).permutation(count)


def _tensors(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.detach() for parameter in parameters]

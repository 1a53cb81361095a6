"""One architecture, one data set, one seed in training: step by step, and resumable at any of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from space.architecture import Architecture
from space.shared.plain import InputError, nearest
from space.shared.seeds import derived_seed
from training.data.ahead import ahead
from training.data.dataset import Dataset
from training.devices import Scalar, choose_device, on_own_stream, used_here
from training.model import Model, ModelSettings
from training.objectives.base import Objective
from training.objectives.diffusion import DiffusionObjective
from training.settings import TrainingSettings
from training.state import (
    State,
    load_optimizer_state,
    named_optimizer_state,
    named_tensors,
    read_state,
    write_state,
)

MakesObjective = Callable[[Model, Dataset, TrainingSettings, int], Objective[Any]]


class Diverged(RuntimeError):
    """The loss is no number any more."""


class Trainer:
    """One candidate in training.

    What a step learns from derives from (seed, step) alone, and initial weights from the seed: see the
    objective.

    Attributes:
        step: steps taken so far.
        objective: what is minimised, with the model and everything else that is trained.
        averaged: the model with the running mean of its weights, which generates and is validated.
        parameters: of the UNet.
    """

    def __init__(
        self,
        architecture: Architecture,
        data: Dataset,
        settings: TrainingSettings,
        *,
        seed: int,
        objective: MakesObjective = DiffusionObjective,
    ) -> None:
        self.architecture, self.data, self.settings, self.seed = architecture, data, settings, seed
        self.step = 0
        self.device = choose_device(settings.device)
        with _random("weights", seed):
            model = Model(architecture, _model_settings(data, settings), self.device)
        with _random("objective", seed):
            self.objective = objective(model, data, settings, seed)
        self.averaged = model.copy().requires_grad_(False)
        self.parameters = sum(parameter.numel() for parameter in model.unet.parameters())
        # Listed once: walking through the modules would take a small network a tenth of a step.
        self._trained = {name: list(part.module.parameters()) for name, part in self.objective.parts.items()}
        self._means: tuple[list[Tensor], list[Tensor]] = (
            list(self.averaged.parameters()),
            list(model.parameters()),
        )

    # ------------------------------------------------------------------ training

    def train_to(self, step: int, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train until so many steps have been taken; `on_step(step, loss)` follows each.

        Batches are made ahead by a thread, which has ended when this returns or raises.

        Raises:
            Diverged: a loss is NaN or infinite. The weights that it is of are then those before that step.
        """
        for part in self.objective.parts.values():
            part.module.train()
        make = on_own_stream(self.objective.batch, self.device)
        with closing(ahead(make, range(self.step, step))) as batches:
            for batch in batches:
                loss = self._take_step(used_here(batch, self.device))
                self.step += 1
                if on_step is not None:
                    on_step(self.step, loss)

    def _take_step(self, batch: object) -> float:
        losses = [self._train_part(name, batch) for name in self.objective.turns(self.step)]
        self._average()
        return losses[0]

    def _train_part(self, name: str, batch: object) -> float:
        part = self.objective.parts[name]
        loss = self.objective.loss(name, batch)
        value = Scalar(loss)
        part.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        known = value.read()  # while a GPU is at work on the backward pass
        if not math.isfinite(known):
            raise Diverged(f"loss is {'NaN' if math.isnan(known) else 'infinite'} at step {self.step + 1}")
        torch.nn.utils.clip_grad_norm_(self._trained[name], self.settings.gradient_clip)
        for group in part.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, part.optimizer.defaults["lr"], self.step)
        part.optimizer.step()
        return known

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average. Its memory grows with the steps taken: the start is forgotten."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        averaged, trained = self._means
        torch._foreach_lerp_(averaged, trained, 1 - decay)

    # ------------------------------------------------------------------ judging

    def validation_loss(self) -> float:
        """Loss of the averaged weights on held-out images; images, noise and timesteps are the same for
        every candidate and every seed."""
        return self.objective.validation_loss(self.averaged)

    def generate(self, captions: Sequence[str], *, seed: int, batch_size: int = 64) -> np.ndarray:
        """(N, H, W, 3) uint8 by the averaged weights; image i starts from noise of (seed, i) alone."""
        with self.settings.autocast(self.device):
            return self.averaged.generate(captions, seed=seed, batch_size=batch_size)

    # ------------------------------------------------------------------ saving

    def save_state(self, path: str | Path) -> None:
        """Everything that training needs to go on exactly, written whole or not at all."""
        parts = {
            name: {
                "weights": named_tensors(part.module),
                "optimizer": named_optimizer_state(part.optimizer, part.module),
            }
            for name, part in self.objective.parts.items()
        }
        state = {
            "identity": self._identity(),
            "step": self.step,
            "averaged": named_tensors(self.averaged),
            "parts": parts,
        }
        write_state(state, Path(path))

    def load_state(self, path: str | Path) -> None:
        """Go on from a saved state.

        Raises:
            InputError: it is of another objective, architecture, data or seed, or of an earlier version; or
                the file is broken.
        """
        path = Path(path)
        state = read_state(path, self.device)
        self._check_identity(state, path)
        try:
            self.averaged.load_state_dict(state["averaged"])
            for name, part in self.objective.parts.items():
                part.module.load_state_dict(state["parts"][name]["weights"])
                load_optimizer_state(part.optimizer, part.module, state["parts"][name]["optimizer"])
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: does not hold what is trained here: {reason}") from None
        self.step = int(state["step"])

    def save_weights(self, folder: str | Path) -> None:
        """The averaged weights, for `training.model.load_model` and `mdsearch generate`."""
        self.averaged.save(folder)

    def _check_identity(self, state: State, path: Path) -> None:
        saved = state["identity"]
        for name, value in self._identity().items():
            if saved.get(name) != value:
                raise InputError(
                    f"{path}: is of another {name} ({saved.get(name)}) than this training ({value})"
                )

    def _identity(self) -> dict[str, str | int]:
        return {
            "objective": self.objective.name,
            "architecture": self.architecture.id,
            "data": self.data.digest,
            "seed": self.seed,
        }


def learning_rate(settings: TrainingSettings, base: float, step: int) -> float:
    """Linear warm-up to `base`, then none, linear or cosine decay to zero at `steps`."""
    if step < settings.warmup_steps:
        return base * (step + 1) / settings.warmup_steps
    done = min(1.0, (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps))
    shares = {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    if settings.decay not in shares:
        raise InputError(f"decay: {settings.decay!r}; {nearest(settings.decay, shares)}")
    return base * shares[settings.decay]


def _model_settings(data: Dataset, settings: TrainingSettings) -> ModelSettings:
    return ModelSettings(
        image_size_px=data.image_size_px,
        vocabulary=tuple(data.vocabulary),
        guidance=settings.guidance,
        sampling_steps=settings.sampling_steps,
        diffusion=settings.diffusion,
        latents=settings.latents,
        text=settings.text,
    )


@contextmanager
def _random(purpose: str, seed: int) -> Iterator[None]:
    """Random numbers of this purpose and seed, and the global ones as they were afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(purpose, seed))
        yield

"""The training loop: batches made ahead, parts in their turn, averages, and states to go on from."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from space.shared.plain import InputError, nearest
from training.data.ahead import ahead
from training.devices import Scalar, on_own_stream, used_here
from training.frozen_folders import LATENTS_FOLDER, TEXT_FOLDER
from training.objectives.base import Trained, TrainingObjective
from training.settings import TrainingSettings
from training.state import (
    StateDict,
    load_optimizer_state,
    named_optimizer_state,
    named_tensors,
    read_state,
    write_state,
)

SAID_SINCE = (TEXT_FOLDER, LATENTS_FOLDER)  # states of before do not say which folders they were trained with


class Diverged(RuntimeError):
    """The loss is no number any more."""


class TrainingLoop(Generic[Trained]):
    """Any objective, step by step.

    Args:
        identity: what a state has to be of to be gone on with, such as data and seed.

    Attributes:
        step: steps taken so far.
        objective: what is minimised, with all that is trained.
        averaged: a copy of the objective's model, with the running mean of its weights.
    """

    def __init__(
        self,
        objective: TrainingObjective[Any, Trained],
        settings: TrainingSettings,
        device: torch.device,
        identity: Mapping[str, str | int],
    ) -> None:
        self.objective, self.settings, self.device = objective, settings, device
        self.identity = {"objective": objective.name, **identity}
        self.step = 0
        self.averaged = copy.deepcopy(objective.model).requires_grad_(False)
        # Listed once: walking through the modules would take a small network a tenth of a step.
        self._trained = {name: list(part.module.parameters()) for name, part in objective.parts.items()}
        self._means: tuple[list[Tensor], list[Tensor]] = (
            list(self.averaged.parameters()),
            list(objective.model.parameters()),
        )

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

    def validation_loss(self) -> float:
        """Of the averaged weights."""
        return self.objective.validation_loss(self.averaged)

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
            "identity": self.identity,
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
        try:
            self._check_identity(state, path)
            step = int(state["step"])
            self.averaged.load_state_dict(state["averaged"])
            for name, part in self.objective.parts.items():
                part.module.load_state_dict(state["parts"][name]["weights"])
                load_optimizer_state(part.optimizer, part.module, state["parts"][name]["optimizer"])
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: does not hold what is trained here: {reason}") from None
        self.step = step

    def _check_identity(self, state: StateDict, path: Path) -> None:
        saved = state["identity"]
        for name, value in self.identity.items():
            before = saved.get(name, value if name in SAID_SINCE else None)
            if before != value:
                raise InputError(f"{path}: is of another {name} ({before}) than this training ({value})")


def learning_rate(settings: TrainingSettings, base: float, step: int) -> float:
    """Linear warm-up to `base`, then none, linear or cosine decay to zero at `steps`."""
    if step < settings.warmup_steps:
        return base * (step + 1) / settings.warmup_steps
    done = min(1.0, (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps))
    shares = {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    if settings.decay not in shares:
        raise InputError(f"decay: {settings.decay!r}; {nearest(settings.decay, shares)}")
    return base * shares[settings.decay]


def seconds_per_step(loop: TrainingLoop[Any]) -> float:
    """Measured here: the fastest of a few training steps, the first left out."""
    return min(seconds_of_steps(loop, 3))


def seconds_of_steps(loop: TrainingLoop[Any], count: int) -> list[float]:
    """Of the next steps but the first, one by one."""
    loop.train_to(loop.step + 1)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        loop.train_to(loop.step + 1)
        took.append(time.perf_counter() - began)
    return took

"""The training loop: batches made ahead, parts in their turn, averages, and states to go on from."""

from __future__ import annotations

import copy
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from statistics import median
from typing import Any, Generic

import torch
from torch import Tensor

from space.shared.plain import InputError
from training.data.ahead import ahead
from training.devices import Scalar, clip_gradients, on_own_stream, used_here
from training.failures import Diverged, is_out_of_memory
from training.frozen_folders import LATENTS_FOLDER, TEXT_FOLDER
from training.learning_rate import learning_rate
from training.objectives.base import Trained, TrainingObjective
from training.power_averages import PowerAverages
from training.settings import TrainingSettings
from training.state import (
    AVERAGED,
    OF_PARTS,
    POWERS,
    TrainingState,
    from_file,
    in_file,
    load_optimizer_state,
    named,
    named_optimizer_state,
    named_tensors,
)

SAID_SINCE = (TEXT_FOLDER, LATENTS_FOLDER)  # states of before do not say which folders they were trained with
LATELY, FEWEST_LATELY = 100, 20  # losses that a spike stands out from


def note_to_stderr(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


class TrainingLoop(Generic[Trained]):
    """Any objective, step by step.

    Args:
        identity: what a state has to be of to be gone on with, such as data and seed.

    Attributes:
        step: steps taken so far.
        data_offset: by how many steps the data are further on than the step.
        rollbacks: how often training has gone back and left out what it failed at.
        objective: what is minimised, with all that is trained.
        averaged: a copy of the objective's model, with the running mean of its weights.
        power_averages: further averages, if the settings have any.
        micro_batch: images of a batch whose gradients are taken at once.
        gradient_norm: of the last step, before it was clipped.
        say: where it goes what a person should know.
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
        self.step = self.data_offset = self.rollbacks = 0
        self.averaged = copy.deepcopy(objective.model).requires_grad_(False)
        self.micro_batch, self.is_halved = settings.micro_batch or settings.batch_size, False
        lengths = settings.ema_lengths
        self.power_averages = PowerAverages(objective.model, lengths) if lengths else None
        self.gradient_norm: Scalar | None = None
        self.say: Callable[[str], None] = note_to_stderr
        self._lately: deque[float] = deque(maxlen=LATELY)
        self._of_step: list[float] = []  # losses of the parts that this step has trained already
        self._is_stepping = False
        # Listed once: walking through the modules would take a small network a tenth of a step.
        self._trained = {name: list(part.module.parameters()) for name, part in objective.parts.items()}
        self._means: tuple[list[Tensor], list[Tensor]] = (
            list(self.averaged.parameters()),
            list(objective.model.parameters()),
        )

    def train_to(self, step: int, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train until so many steps have been taken; `on_step(step, loss)` follows each.

        Batches are made ahead by a thread, which has ended when this returns or raises. Where memory runs
        out, micro-batches are halved, once; batches stay what they are.

        Raises:
            Diverged: a loss is NaN or infinite, or a spike. The weights that it is of are then those before
                that step.
        """
        for part in self.objective.parts.values():
            part.module.train()
        while self.step < step:
            with closing(self._batches_to(step)) as batches:
                self._train_on(batches, step, on_step)

    def _train_on(
        self, batches: Iterator[object], step: int, on_step: Callable[[int, float], None] | None
    ) -> None:
        """Until the steps are taken, or micro-batches have become smaller."""
        while self.step < step:
            try:
                loss: float | None = self._take_step(islice(batches, len(self._rows())))
            except Exception as error:
                if not self._can_halve(error):
                    raise
                loss, reason = None, " ".join(str(error).split())[:100]
            if loss is None:  # behind the error, whose frames hold memory
                self._halve(reason)
                return
            self.step += 1
            if on_step is not None:
                on_step(self.step, loss)

    def _rows(self) -> list[range]:
        """Of a batch, those of each micro-batch."""
        size, part = self.settings.batch_size, self.micro_batch
        return [range(start, min(start + part, size)) for start in range(0, size, part)]

    def _batches_to(self, step: int) -> Any:
        """The micro-batches of all steps, one after the other."""
        rows, offset = self._rows(), self.data_offset
        count = len(rows)

        def make(number: int) -> object:
            return self.objective.batch(number // count + offset, rows[number % count])

        return ahead(on_own_stream(make, self.device), range(self.step * count, step * count))

    def _take_step(self, batches: Iterator[object]) -> float:
        names = self.objective.turns(self.step)
        held: Iterable[object] = batches if len(names) == 1 else list(batches)
        for name in names[len(self._of_step) :]:
            self._of_step.append(self._train_part(name, held))
        self._average()
        losses, self._of_step = self._of_step, []
        self._lately.append(losses[0])
        return losses[0]

    def _train_part(self, name: str, batches: Iterable[object]) -> float:
        part = self.objective.parts[name]
        part.optimizer.zero_grad(set_to_none=True)
        losses = [self._add_gradients(name, *each) for each in zip(self._rows(), batches, strict=True)]
        loss = losses[0] if len(losses) == 1 else sum(losses)
        if not self._of_step:
            self._check_spike(loss)
        norm = clip_gradients(self._trained[name], self.settings.gradient_clip, self.device)
        self.gradient_norm = Scalar(norm)
        if self.device.type == "cpu":  # elsewhere it would wait for the backward pass: the next loss is NaN
            self._check_finite("gradient", self.gradient_norm.read())
        for group in part.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, part.optimizer.defaults["lr"], self.step)
        self._is_stepping = True
        part.optimizer.step()
        self._is_stepping = False
        return loss

    def _add_gradients(self, name: str, rows: range, batch: object) -> float:
        """Of a micro-batch, by its share of the batch. Returns its share of the loss."""
        loss = self.objective.loss(name, used_here(batch, self.device))
        if len(rows) < self.settings.batch_size:
            loss = loss * (len(rows) / self.settings.batch_size)
        value = Scalar(loss)
        loss.backward()
        known = value.read()  # while a GPU is at work on the backward pass
        self._check_finite("loss", known)
        return known

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise Diverged(f"{what} is {'NaN' if math.isnan(value) else 'infinite'} at step {self.step + 1}")

    def _check_spike(self, loss: float) -> None:
        factor = self.settings.spike_factor
        if factor is None or len(self._lately) < FEWEST_LATELY:
            return
        usual = median(self._lately)
        if loss > factor * usual:
            raise Diverged(
                f"loss is {loss:.4g} at step {self.step + 1}, {loss / usual:.1f} times the median of "
                f"the last {len(self._lately)} (spike_factor: {factor:g})"
            )

    def _can_halve(self, error: BaseException) -> bool:
        """Once; and not where memory ran out while weights were changed."""
        small = self.is_halved or self.micro_batch < 2
        return is_out_of_memory(error) and not (small or self._is_stepping)

    def _halve(self, reason: str) -> None:
        before, self.micro_batch, self.is_halved = self.micro_batch, (self.micro_batch + 1) // 2, True
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.say(
            f"out of memory at step {self.step + 1}: from now on micro-batches of {self.micro_batch} images "
            f"instead of {before}, in batches of {self.settings.batch_size} as before ({reason})"
        )

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average. Its memory grows with the steps taken: the start is forgotten."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        averaged, trained = self._means
        torch._foreach_lerp_(averaged, trained, 1 - decay)
        if self.power_averages is not None:
            self.power_averages.update(self.step + 1)

    def validation_loss(self) -> float:
        """Of the averaged weights."""
        return self.objective.validation_loss(self.averaged)

    # ------------------------------------------------------------------ saving

    def state(self) -> TrainingState:
        """Everything that training needs to go on exactly; its tensors are those that training changes."""
        tensors, plain = named(AVERAGED, named_tensors(self.averaged)), {}
        for name, part in self.objective.parts.items():
            kept, plain[name] = in_file(named_optimizer_state(part.optimizer, part.module))
            tensors |= named(f"{OF_PARTS}/{name}/weights", named_tensors(part.module))
            tensors |= named(f"{OF_PARTS}/{name}/optimizer", kept)
        if self.power_averages is not None:
            for length, average in self.power_averages.tensors.items():
                tensors |= named(f"{POWERS}/{length}", average)
        return TrainingState(
            {
                "identity": self.identity,
                "step": self.step,
                "data_offset": self.data_offset,
                "rollbacks": self.rollbacks,
                "micro_batch": self.micro_batch,
                "losses": list(self._lately),
                "optimizers": plain,
            },
            tensors,
        )

    def restore(self, state: TrainingState, name: str = "state") -> None:
        """Go on from a state.

        Raises:
            InputError: it is of another objective, architecture, data or seed, or lacks something. `name`
                says what it is called.
        """
        try:
            self._check_identity(state.plain["identity"], name)
            plain, step = state.plain, state.step
            self.averaged.load_state_dict(state.section(AVERAGED))
            if self.power_averages is not None:
                lengths = self.power_averages.tensors
                self.power_averages.load({length: state.section(POWERS, length) for length in lengths})
            for part_name, part in self.objective.parts.items():
                part.module.load_state_dict(state.section(OF_PARTS, part_name, "weights"))
                kept = state.section(OF_PARTS, part_name, "optimizer")
                moments = from_file(kept, plain["optimizers"][part_name])
                load_optimizer_state(part.optimizer, part.module, moments)
            self.data_offset, self.rollbacks = int(plain["data_offset"]), int(plain["rollbacks"])
            self._lately = deque(map(float, plain["losses"]), maxlen=LATELY)
            before = int(plain["micro_batch"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())
            raise InputError(f"{name}: does not hold what is trained here: {reason}") from None
        self.step, self._of_step = step, []
        if before < self.micro_batch:  # memory ran out before: not again
            self.micro_batch, self.is_halved = before, True

    def _check_identity(self, saved: Mapping[str, Any], where: str) -> None:
        for name, value in self.identity.items():
            before = saved.get(name, value if name in SAID_SINCE else None)
            if before != value:
                raise InputError(f"{where}: is of another {name} ({before}) than this training ({value})")

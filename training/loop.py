"""The training loop: batches made ahead, parts in their turn, averages, and states to go on from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any, Generic

import torch

from space.shared.plain import InputError
from training.data.ahead import ahead
from training.devices import Scalar, clip_gradients, on_own_stream, used_here
from training.diffusion import PROCESS
from training.distributed.base import Parallelism, check_shares
from training.distributed.factory import parallelism
from training.distributed.ranks import RankGroup
from training.failures import LossWatch, OutOfMemory
from training.frozen_folders import LATENTS_FOLDER, TEXT_FOLDER
from training.learning_rate import learning_rate
from training.micro_batches import MicroBatch, MicroBatches
from training.objectives.base import Trained, TrainingObjective
from training.power_averages import PowerAverages
from training.settings import TrainingSettings, of_a_step
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
from training.text import TEXT_HEADS
from training.weight_average import WeightAverage

# Of what states of before do not say: by which folders and which process they were trained.
SAID_SINCE = (TEXT_FOLDER, LATENTS_FOLDER, PROCESS, TEXT_HEADS)


def note_to_stderr(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


class TrainingLoop(Generic[Trained]):
    """Any objective, step by step.

    Args:
        identity: what a state has to be of to be gone on with, such as data and seed.
        ranks: the workers that share each batch, which all take the same steps.

    Attributes:
        step: steps taken so far.
        data_offset: by how many steps the data are further on than the step.
        rollbacks: how often training has gone back and left out what it failed at.
        objective: what is minimised, with all that is trained.
        averaged: a copy of the objective's model, with the running mean of its weights.
        power_averages: further averages, if the settings have any.
        micro_batches: the parts of a batch whose gradients a worker takes at once.
        gradient_norm: of the last step, before it was clipped.
        say: where it goes what a person should know.
    """

    def __init__(
        self,
        objective: TrainingObjective[Any, Trained],
        settings: TrainingSettings,
        device: torch.device,
        identity: Mapping[str, str | int],
        ranks: RankGroup | None = None,
    ) -> None:
        self.objective, self.settings, self.device = objective, settings, device
        self.ranks = RankGroup() if ranks is None else ranks
        objective.total = None if self.ranks.size == 1 else self.ranks.total
        self.micro_batches = MicroBatches(settings, self.ranks)
        self.identity = {"objective": objective.name, **identity}
        self.step = self.data_offset = self.rollbacks = 0
        self._average = WeightAverage(objective.model, settings.ema_decay)
        self.averaged = self._average.model
        lengths = settings.ema_lengths
        self.power_averages = PowerAverages(objective.model, lengths) if lengths else None
        self.gradient_norm: Scalar | None = None
        self.say: Callable[[str], None] = note_to_stderr
        self._watch = LossWatch(settings.spike_factor)
        self._of_step: list[float] = []  # losses of the parts that this step has trained already
        self._is_stepping = False
        self._parallelism, self._has_met = Parallelism(objective), False
        self._list_trained()

    def _list_trained(self) -> None:
        """Once: walking through the modules would take a small network a tenth of a step."""
        self._trained = {name: list(part.module.parameters()) for name, part in self.objective.parts.items()}

    def train_to(self, step: int, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train until so many steps have been taken; `on_step(step, loss)` follows each.

        Batches are made ahead by a thread, which has ended when this returns or raises. Where memory runs
        out, micro-batches are halved, once; batches stay what they are. Several workers call it at once.

        Raises:
            Diverged: a loss is NaN or infinite, or a spike. The weights that it is of are then those before
                that step. All workers raise it alike.
            OutOfMemory: on one of several workers, which cannot go on where the others wait for it.
        """
        self._meet()
        for part in self.objective.parts.values():
            part.module.train()
        while self.step < step:
            with closing(self._batches_to(step)) as batches:
                self._train_on(batches, step, on_step)

    def _meet(self) -> None:
        """Before the first step, with the weights and moments that it starts from."""
        if self._has_met:
            return
        ranks, s = self.ranks, self.settings
        at = {"step": self.step, "micro_batch": self.micro_batches.most}
        ranks.check_same({**self.identity, **at, **of_a_step(s)})
        if ranks.is_sharded:
            check_shares(s, self.objective.name if len(self.objective.parts) > 1 else "")
        self._parallelism, self._has_met = parallelism(self.objective, ranks, self.device), True
        self._list_trained()
        if ranks.is_sharded:
            self._average.share(self.objective.model, self._parallelism)

    def _train_on(
        self, batches: Iterator[object], step: int, on_step: Callable[[int, float], None] | None
    ) -> None:
        """Until the steps are taken, or micro-batches have become smaller."""
        while self.step < step:
            try:
                loss: float | None = self._take_step(islice(batches, len(self.micro_batches.parts())))
            except Exception as error:
                if self._is_stepping or not self.micro_batches.can_halve(error):
                    raise
                loss, reason = None, " ".join(str(error).split())[:100]
                if self.ranks.size > 1:
                    raise OutOfMemory(reason, self.micro_batches.halved()) from None
            if loss is None:  # behind the error, whose frames hold memory
                self._halve(reason)
                return
            self.step += 1
            if on_step is not None:
                on_step(self.step, loss)

    def _batches_to(self, step: int) -> Any:
        """The micro-batches of all steps, one after the other."""
        parts, offset = self.micro_batches.parts(), self.data_offset
        count = len(parts)

        def make(number: int) -> object:
            return self.objective.batch(number // count + offset, parts[number % count].rows)

        numbers = range(self.step * count, step * count)
        return ahead(on_own_stream(make, self.device), numbers, on_one_core=self.device.type == "cpu")

    def _take_step(self, batches: Iterator[object]) -> float:
        names = self.objective.turns(self.step)
        held: Iterable[object] = batches if len(names) == 1 else list(batches)
        for name in names[len(self._of_step) :]:
            self._of_step.append(self._train_part(name, held))
        self._average.update(self.step)
        if self.power_averages is not None:
            self.power_averages.update(self.step + 1)
        losses, self._of_step = self._of_step, []
        self._watch.add(losses[0])
        return losses[0]

    def _train_part(self, name: str, batches: Iterable[object]) -> float:
        part = self.objective.parts[name]
        part.optimizer.zero_grad(set_to_none=True)
        parts = self.micro_batches.parts()
        losses = [self._add_gradients(name, *each) for each in zip(parts, batches, strict=True)]
        loss = losses[0] if len(losses) == 1 else sum(losses)
        if self.ranks.size > 1:
            loss = self.ranks.total(loss)
            self._watch.check_finite("loss", loss, self.step + 1)
        if not self._of_step:
            self._watch.check_spike(loss, self.step + 1)
        norm = clip_gradients(self._trained[name], self.settings.gradient_clip, self.device)
        self.gradient_norm = Scalar(self._parallelism.whole(norm))
        if self.device.type == "cpu":  # elsewhere it would wait for the backward pass: the next loss is NaN
            self._watch.check_finite("gradient", self.gradient_norm.read(), self.step + 1)
        for group in part.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, part.optimizer.defaults["lr"], self.step)
        self._is_stepping = True
        part.optimizer.step()
        self._is_stepping = False
        return loss

    def _add_gradients(self, name: str, part: MicroBatch, batch: object) -> float:
        """Of a micro-batch, by its share of the batch. Returns its share of the loss."""
        ranks = self.ranks
        loss = self._parallelism.loss(name, used_here(batch, self.device), is_last=part.is_last)
        if part.share < 1:
            loss = loss * part.share
        value = Scalar(loss)
        (loss if ranks.size == 1 else loss * ranks.size).backward()  # the mean over workers follows
        known = value.read()  # while a GPU is at work on the backward pass
        if ranks.size == 1:  # else all decide alike, when all are done
            self._watch.check_finite("loss", known, self.step + 1)
        return known

    def _halve(self, reason: str) -> None:
        parts, before = self.micro_batches, self.micro_batches.most
        parts.shrink(parts.halved())
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.say(
            f"out of memory at step {self.step + 1}: from now on micro-batches of {parts.most} images "
            f"instead of {before}, in batches of {self.settings.batch_size} as before ({reason})"
        )

    def validation_loss(self) -> float:
        """Of the averaged weights."""
        return self.objective.validation_loss(self.averaged)

    # ------------------------------------------------------------------ saving

    def state(self) -> TrainingState:
        """Everything that training needs to go on exactly; its tensors are those that training changes, or
        what workers with shares have gathered: they call it at once, and have the averaged weights then."""
        self._average.gather()
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
                "micro_batch": self.micro_batches.most,
                "micro_batch_chosen": self.settings.micro_batch,
                "batch_size": self.settings.batch_size,
                "losses": list(self._watch.lately),
                "optimizers": plain,
            },
            {name: self._parallelism.whole(tensor) for name, tensor in tensors.items()},
        )

    def restore(self, state: TrainingState, name: str = "state") -> None:
        """Go on from a state: with the data behind those that it has seen, in whole batches, and with smaller
        micro-batches, since memory ran out, unless others are chosen now.

        Raises:
            InputError: it is of another objective, architecture, data or seed, or lacks something. `name`
                says what it is called.
        """
        try:
            self._check_identity(state.plain["identity"], name)
            plain, step, held = state.plain, state.step, self._parallelism
            chosen, size = self.settings.micro_batch, self.settings.batch_size
            self.averaged.load_state_dict(state.section(AVERAGED))
            if self.power_averages is not None:
                lengths = self.power_averages.tensors
                self.power_averages.load({length: state.section(POWERS, length) for length in lengths})
            for part_name, part in self.objective.parts.items():
                weights = state.section(OF_PARTS, part_name, "weights")
                part.module.load_state_dict(held.shares(weights, part.module))
                kept = state.section(OF_PARTS, part_name, "optimizer")
                moments = from_file(kept, plain["optimizers"][part_name])
                moments = held.shares_of_moments(moments, part.module)
                load_optimizer_state(part.optimizer, part.module, moments)
            self.data_offset, self.rollbacks = int(plain["data_offset"]), int(plain["rollbacks"])
            self._watch = LossWatch(self.settings.spike_factor, map(float, plain["losses"]))
            size_before = int(plain.get("batch_size", size))
            self.data_offset = -(-(step + self.data_offset) * size_before // size) - step
            before = int(plain["micro_batch"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{name}: does not hold what is trained here: {reason}") from None
        self.step, self._of_step = step, []
        if self._has_met and self.ranks.is_sharded:
            self._average.share(self.objective.model, held)
        is_as_chosen = chosen is None or chosen == plain.get("micro_batch_chosen", chosen)
        if before < size_before and is_as_chosen:
            self.micro_batches.shrink(before)

    def _check_identity(self, saved: Mapping[str, Any], where: str) -> None:
        for name in {**self.identity, **saved}:
            now = self.identity.get(name)
            before = saved.get(name, now if name in SAID_SINCE else None)
            if before != now:
                was, wanted = ("none" if each is None else each for each in (before, now))
                raise InputError(f"{where}: is of another {name} ({was}) than this training ({wanted})")

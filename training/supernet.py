"""Shared weights in training: for every architecture of a space, or for one whose stages come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from space.architecture import Architecture
from space.paths import Paths
from space.proxy import Proxy, narrow
from space.shared.plain import InputError
from space.subnet import Subnet, origin
from space.supernet import Supernet
from training.data.dataset import Dataset
from training.distributed.ranks import RankGroup
from training.loop import TrainingLoop
from training.objectives.supernet import SupernetObjective, supernet_of
from training.settings import TrainingSettings
from training.state import TrainingState, load_optimizer_state, named_optimizer_state, named_tensors
from training.trainer import Trainer


class SupernetTrainer(Trainer):
    """Resumable as any training. `averaged` generates, and is validated, as the architecture that inherits.

    Attributes:
        largest: that the weights are for, at the paper's scale.

    Raises:
        InputError: as `Trainer`.
    """

    def __init__(
        self,
        paths: Paths,
        proxy: Proxy,
        data: Dataset,
        settings: TrainingSettings,
        *,
        seed: int,
        place: int = 0,
        ranks: RankGroup | None = None,
    ) -> None:
        corners = paths.corners
        self.largest = Subnet.of(corners[0]).architecture
        super().__init__(
            narrow(self.largest, proxy),
            data,
            settings,
            seed=seed,
            objective=partial(SupernetObjective, paths=paths),
            network=lambda _: Supernet(corners, proxy),
            identity={**paths.identity(proxy), **({ROUND: place} if place else {})},
            ranks=ranks,
        )

    def inherit(self, network: Architecture | Subnet) -> None:
        """From now on the averaged model is this architecture, at the paper's scale."""
        supernet_of(self.averaged).choose(network)

    def take_over(self, before: SupernetTrainer) -> None:
        """Go on from the training of another network: with the weights, averages and moments of the same
        names, and those of its original in a copy."""
        self.step = before.step
        _take_weights(self.averaged, before.averaged)
        for name, part in self.objective.parts.items():
            theirs = before.objective.parts[name]
            _take_weights(part.module, theirs.module)
            kept = named_optimizer_state(theirs.optimizer, theirs.module)
            own = {name: origin(name, kept) for name, _ in part.module.named_parameters()}
            moments = {name: _copied(kept[old]) for name, old in own.items() if old in kept}
            load_optimizer_state(part.optimizer, part.module, moments)


def _take_weights(module: nn.Module, before: nn.Module) -> None:
    known = named_tensors(before)
    module.load_state_dict({name: known[origin(name, known)] for name in module.state_dict()})


def _copied(kept: dict[str, Any]) -> dict[str, Any]:
    """An optimiser counts its steps in a tensor, which two parameters must not have in common."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in kept.items()}


# ---------------------------------------------------------------------- one after another

ROUND = "round"


class Round(NamedTuple):
    """What is trained, until so many steps have been taken in all."""

    paths: Paths
    until: int


class SharedTrainer:
    """Rounds of shared training as one: each begins with what the one before has learnt.

    What a step learns from derives from its number in all; so does what is trained by the number of the
    round: without a state, all rounds are gone through again.
    """

    def __init__(
        self,
        rounds: Sequence[Round],
        proxy: Proxy,
        data: Dataset,
        settings: TrainingSettings,
        *,
        seed: int,
        ranks: RankGroup | None = None,
    ) -> None:
        self.rounds, self._place = rounds, 0
        self._make = partial(
            SupernetTrainer, proxy=proxy, data=data, settings=settings, seed=seed, ranks=ranks
        )
        self.now = self._of(0)

    @property
    def step(self) -> int:
        return self.now.step

    def train_to(self, step: int, on_step: Callable[[int, float], None] | None = None) -> None:
        while True:
            until = self.rounds[self._place].until
            self.now.train_to(min(step, until), on_step)
            if step <= until or self._place == len(self.rounds) - 1:
                return
            before, self._place = self.now, self._place + 1
            self.now = self._of(self._place)
            self.now.take_over(before)

    def inherit(self, network: Architecture | Subnet) -> None:
        self.now.inherit(network)

    def validation_loss(self) -> float:
        return self.now.validation_loss()

    def generate(self, captions: Sequence[str], *, seed: int, batch_size: int = 64) -> np.ndarray:
        return self.now.generate(captions, seed=seed, batch_size=batch_size)

    def state(self) -> TrainingState:
        return self.now.state()

    def restore(self, state: TrainingState, name: str = "state") -> None:
        """Go on from a state of any round. Raises InputError as `Trainer.restore`."""
        place = int(state.plain.get("identity", {}).get(ROUND, 0))
        if place >= len(self.rounds):
            raise InputError(f"{name}: is of round {place + 1} of a training of {len(self.rounds)}")
        if place != self._place:
            self._place, self.now = place, self._of(place)
        self.now.restore(state, name)

    def _of(self, place: int) -> SupernetTrainer:
        return self._make(self.rounds[place].paths, place=place)


def loop_of(trainer: SharedTrainer | TrainingLoop[Any]) -> TrainingLoop[Any]:
    """What takes the steps now."""
    return trainer.now if isinstance(trainer, SharedTrainer) else trainer
